"""One image per cell out of a field of view and its label mask."""

import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from cellprism._keys import CHANNELS, IMAGE, MASK, SPATIAL
from cellprism.pp._checks import check_field, check_size, image_channels
from cellprism.pp._cutting import Cell, Crops, Masking, cut_cells
from cellprism.pp._field import Field, Sliceable, is_of, open_elements, open_field
from cellprism.pp._regions import find_regions
from cellprism.pp._windows import Window

if TYPE_CHECKING:
    from anndata import AnnData
    from spatialdata import SpatialData
    from xarray import DataArray, DataTree


def crop_cells(
    image: "Sliceable | DataArray | DataTree | SpatialData | str | Path",
    masks: "Sliceable | DataArray | DataTree | str | Path",
    size: int | tuple[int, int],
    *,
    image_key: str | None = None,
    channel_names: Sequence[str] | None = None,
    mask_neighbors: bool = True,
    mask_background: bool = False,
    border: Literal["drop", "pad"] = "drop",
    min_area: int = 0,
    prefix: str = "cell_",
    block_size: int = 2048,
    progress: bool = False,
) -> "AnnData":
    """Cut one image per cell out of a field of view, and measure each cell.

    A crop is centred on the bounding box of the cell's mask. The field is read a block at a time, never as a whole.

    Parameters
    ----------
    image
        Field of view, (channels, height, width) or (height, width): an array of numpy, dask, zarr or h5py; the path
        of a TIFF or Zarr file; an image of a SpatialData object (``sdata["name"]``), or the object itself.
    masks
        Label mask of the same height and width, from any of these: 0 is background, every cell has a number of its
        own. With a SpatialData object, the name of one of its labels elements.
    size
        Height and width of a crop in pixels, or one number for both.
    image_key
        Name of the image of a SpatialData object that has several.
    channel_names
        One name per channel. By default those of the SpatialData image, or ``channel_0``, ``channel_1`` and so on.
    mask_neighbors
        Set pixels of other cells to zero.
    mask_background
        Set pixels of no cell to zero.
    border
        ``"drop"`` leaves out cells that touch the field's edge or whose crop would reach over it; ``"pad"`` keeps
        them, with zeros beyond the edge.
    min_area
        Leave out cells of fewer pixels.
    prefix
        Cells are named ``<prefix><label>``. Give each field its own, so that fields can be put together.
    block_size
        Side in pixels of the part of the field that is in memory at once, besides a margin for cells on its edge.
    progress
        Show a progress bar.

    Returns
    -------
    AnnData of the cells in the order of their labels.

    - ``.obsm["image"]``: (cells, channels, height, width) in the type of ``image``.
    - ``.obsm["mask"]``: (cells, 1, height, width), true where the cell is.
    - ``.obsm["spatial"]``: x and y of the centroid on the field, in pixels.
    - ``.uns["channels"]``: the names of the channels.
    - ``.obs``: ``label``; ``area``, ``perimeter``, ``eccentricity``, ``solidity``, ``axis_major_length``,
      ``axis_minor_length``, ``orientation`` as :func:`skimage.measure.regionprops` defines them; ``centroid_y``,
      ``centroid_x``; ``bbox_top``, ``bbox_left``, ``bbox_bottom``, ``bbox_right``; ``touches_border``; ``is_cut``,
      true where the cell is larger than the crop.
    - ``.X``: mean of each channel over the whole cell, called ``mean_<channel>``.

    Raises
    ------
    ValueError
        If image and masks do not fit, masks are no label mask, channels come last, or no cell is left.
    FileNotFoundError
        If there is no file at a path.
    ImportError
        If the package that reads a file is not installed.
    KeyError
        If a SpatialData object has no element of that name.

    Warns
    -----
    UserWarning
        If cells are larger than the crop.

    Examples
    --------
    >>> import numpy as np
    >>> masks = np.zeros((32, 32), dtype=int)
    >>> masks[4:12, 4:12], masks[18:26, 20:28] = 1, 2
    >>> cells = crop_cells(np.stack([masks, 10 * masks]), masks, 12, channel_names=["DNA", "actin"])
    >>> cells.obsm["image"].shape
    (2, 2, 12, 12)
    >>> cells.to_df()
            mean_DNA  mean_actin
    cell_1       1.0        10.0
    cell_2       2.0        20.0
    """
    size = check_size(size)
    masking = Masking(neighbors=mask_neighbors, background=mask_background)
    with ExitStack() as files:
        field, labels = _open(image, masks, image_key, files)
        check_field(field, labels)
        names = image_channels(channel_names, field)
        regions = _with_windows(find_regions(labels, block_size), size, field.shape)
        kept = regions[_is_kept(regions, border, min_area, field.shape)]
        _warn_of_cut_cells(kept, size)
        cells = [_cell(region) for region in kept.itertuples()]
        crops = cut_cells(field, labels, cells, masking=masking, block_size=block_size, progress=progress)
    return _assemble(crops, kept, names, prefix)


def _open(image: object, masks: object, image_key: str | None, files: ExitStack) -> tuple[Field, Field]:
    if is_of(image, "spatialdata", "SpatialData"):
        return open_elements(image, masks, image_key, files)
    if image_key is not None:
        raise ValueError(f"image_key is {image_key!r}, but image is a {type(image).__name__}, not a SpatialData.")
    return open_field(image, files), open_field(masks, files)


def _with_windows(regions: pd.DataFrame, size: tuple[int, int], shape: tuple[int, int]) -> pd.DataFrame:
    """Centre a window on each bounding box, and say which cells do not fit."""
    height, width = size
    window_top = (regions["top"] + regions["bottom"] - height) // 2
    window_left = (regions["left"] + regions["right"] - width) // 2
    touches = (regions[["top", "left"]] == 0).any(axis=1) | (regions[["bottom", "right"]] == np.array(shape)).any(
        axis=1
    )
    leaves = (window_top < 0) | (window_left < 0) | (window_top + height > shape[0]) | (window_left + width > shape[1])
    return regions.assign(
        window_top=window_top,
        window_left=window_left,
        window_bottom=window_top + height,
        window_right=window_left + width,
        touches_border=touches,
        leaves_field=leaves,
        is_cut=(regions["bottom"] - regions["top"] > height) | (regions["right"] - regions["left"] > width),
    )


def _is_kept(regions: pd.DataFrame, border: str, min_area: int, shape: tuple[int, int]) -> pd.Series:
    if border not in ("drop", "pad"):
        raise ValueError(f"border is {border!r}, expected 'drop' or 'pad'.")
    if regions.empty:
        raise ValueError(
            f"masks, of {shape[0]} x {shape[1]} pixels, has no cell: every pixel is 0, which is background."
        )
    is_small = regions["area"] < min_area
    is_at_border = (regions["touches_border"] | regions["leaves_field"]) & (border == "drop")
    kept = ~(is_small | is_at_border)
    if not kept.any():
        raise ValueError(
            f"No cell is left of {len(regions)}: {int(is_small.sum())} are smaller than min_area={min_area} and "
            f"{int(is_at_border.sum())} lie at the border of the field, which is {shape[0]} x {shape[1]} pixels. "
            "Lower min_area or size, or pass border='pad'."
        )
    return kept


def _warn_of_cut_cells(kept: pd.DataFrame, size: tuple[int, int]) -> None:
    n_cut = int(kept["is_cut"].sum())
    if n_cut:
        largest = (kept["bottom"] - kept["top"]).max(), (kept["right"] - kept["left"]).max()
        warnings.warn(
            f"{n_cut} of {len(kept)} cells are larger than the crop of {size[0]} x {size[1]} pixels and are cut "
            f"(.obs['is_cut']); size=({largest[0]}, {largest[1]}) would hold them all.",
            UserWarning,
            stacklevel=3,
        )


def _cell(region: tuple) -> Cell:
    box = Window(region.top, region.left, region.bottom, region.right)
    window = Window(region.window_top, region.window_left, region.window_bottom, region.window_right)
    return Cell(label=region.Index, box=box, window=window)


def _assemble(crops: Crops, kept: pd.DataFrame, names: list[str], prefix: str) -> "AnnData":
    from anndata import AnnData

    index = pd.Index([f"{prefix}{label}" for label in kept.index])
    boxes = kept[["top", "left", "bottom", "right"]].add_prefix("bbox_").set_axis(index)
    flags = kept[["touches_border", "is_cut"]].set_axis(index)
    labels = pd.Series(kept.index.to_numpy(), index=index, name="label")
    obs = pd.concat([labels, crops.properties.set_axis(index), boxes, flags], axis=1)
    var = pd.DataFrame(index=[f"mean_{name}" for name in names])
    adata = AnnData(crops.means.astype(np.float32), obs=obs, var=var)
    adata.obsm[IMAGE] = crops.images
    adata.obsm[MASK] = crops.masks
    adata.obsm[SPATIAL] = obs[["centroid_x", "centroid_y"]].to_numpy()
    adata.uns[CHANNELS] = names
    return adata
