"""Cells of a label mask: where they are, and what scikit-image measures of them."""

import numpy as np
import pandas as pd
from jaxtyping import Bool, Integer
from scipy import ndimage

from cellprism.pp._field import Field
from cellprism.pp._windows import Window, blocks

PROPERTIES = (
    "area",
    "perimeter",
    "eccentricity",
    "solidity",
    "axis_major_length",
    "axis_minor_length",
    "orientation",
)


def find_regions(masks: Field, block_size: int) -> pd.DataFrame:
    """Bounding box and area of every label but 0, with one block of the mask in memory at a time.

    Returns
    -------
    Rows by label, ascending; ``top``, ``left``, ``bottom``, ``right`` (ends left out) and ``area`` in pixels.
    """
    parts = [regions_of_block(masks.read(window)[0], window) for window in blocks(masks.shape, block_size)]
    ends = {"top": "min", "left": "min", "bottom": "max", "right": "max", "area": "sum"}
    return pd.concat(parts).groupby(level=0).agg(ends)


def regions_of_block(labels: Integer[np.ndarray, "height width"], window: Window) -> pd.DataFrame:
    """Bounding box on the field and area of every label but 0 within one block."""
    codes, found = pd.factorize(labels.ravel())
    if found.size and found.min() < 0:
        raise ValueError(
            f"masks has negative labels (min {found.min()}), expected 0 for background and a number above 0 per cell."
        )
    boxes = ndimage.find_objects((codes + 1).reshape(labels.shape))
    table = pd.DataFrame(
        [(rows.start, columns.start, rows.stop, columns.stop) for rows, columns in boxes],
        columns=["top", "left", "bottom", "right"],
        index=found.astype(np.uint64 if found.dtype.kind == "u" else np.int64),
        dtype=np.int64,
    )
    table += np.array([window.top, window.left, window.top, window.left])
    table["area"] = np.bincount(codes, minlength=len(found))
    return table[table.index != 0]


def shape_properties(mask: Bool[np.ndarray, "height width"]) -> dict[str, float]:
    """Properties of one mask, as scikit-image defines them, and its centroid, counted from the mask's corner."""
    from skimage.measure import regionprops

    region = regionprops(mask.astype(np.uint8))[0]
    measured = {name: float(region[name]) for name in PROPERTIES}
    return {**measured, "centroid_y": float(region.centroid[0]), "centroid_x": float(region.centroid[1])}
