"""Real images and what was predicted for the same cells, on one scale."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellprism.pl._image_data import CellImages, as_shares, read_images

if TYPE_CHECKING:
    import anndata


@dataclass(frozen=True)
class PredictedImages:
    """Real images, predictions of them by name, and which of the true cells they are."""

    real: CellImages
    predicted: dict[str, np.ndarray]
    kept: np.ndarray


def read_predicted_images(
    true: "anndata.AnnData | np.ndarray", others: Mapping[str, "anndata.AnnData | np.ndarray | str"], key: str
) -> PredictedImages:
    """Read real and predicted images of the cells that have all of them.

    Raises
    ------
    KeyError
        If a slot is not found.
    ValueError
        If shapes or scales differ, or no cell has all images.
    """
    real = read_images(true, key)
    rows, pixels = {}, {}
    for name, other in others.items():
        found = read_images(true, other) if isinstance(other, str) else read_images(other, key)
        _check_fits(name, found, real)
        rows[name] = _rows(name, found, real)
        pixels[name] = as_shares(found.pixels)
    kept = np.flatnonzero(np.all([rows[name] >= 0 for name in others], axis=0))
    aligned = {name: pixels[name][rows[name][kept]] for name in others}
    has_all = np.all([np.isfinite(images).all(axis=(1, 2, 3)) for images in aligned.values()], axis=0)
    if not has_all.any():
        raise ValueError(f"Found no cell that has a real image and all of {list(others)}, expected at least one.")
    kept, aligned = kept[has_all], {name: images[has_all] for name, images in aligned.items()}
    return PredictedImages(CellImages(as_shares(real.pixels[kept]), real.channels), aligned, kept)


def _rows(name: str, found: CellImages, real: CellImages) -> np.ndarray:
    """Give the row of every real cell among the found ones, -1 where it is absent."""
    if found.cells is not None and real.cells is not None:
        position = {cell: row for row, cell in enumerate(found.cells)}
        return np.array([position.get(cell, -1) for cell in real.cells])
    if len(found) != len(real):
        raise ValueError(
            f"Found {len(found)} {name} images for {len(real)} cells, expected one per cell. "
            "Give both as AnnData to match cells by name."
        )
    return np.arange(len(real))


def _check_fits(name: str, found: CellImages, real: CellImages) -> None:
    """Raise unless an image has the shape and the scale of the real ones."""
    if found.pixels.shape[1:] != real.pixels.shape[1:]:
        raise ValueError(
            f"Found {name} images of shape {found.pixels.shape[1:]} and real ones of {real.pixels.shape[1:]}, "
            "expected the same channels, height and width."
        )
    integer = [np.issubdtype(images.pixels.dtype, np.integer) for images in (found, real)]
    floats = real if integer[0] else found
    if sum(integer) == 1 and np.nanmax(np.abs(floats.pixels)) > 2:
        raise ValueError(
            f"Found {name} images of type {found.pixels.dtype} and real ones of {real.pixels.dtype}. Integer images "
            f"are read as shares of their range, but the others reach {np.nanmax(np.abs(floats.pixels)):.4g}; expected "
            "about 0 to 1. Bring both to one scale, for uint8 by dividing by 255."
        )
