"""Which intensities become 0 and 1."""

from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float, Num

from cellprism._keys import IMAGE
from cellprism.pp._cell_images import CellImages, read_cells

if TYPE_CHECKING:
    import anndata

Background = Literal["border", "mask"]


def intensity_limits(
    images: "anndata.AnnData | np.ndarray",
    *,
    percentiles: tuple[float, float] = (0.1, 99.9),
    background: Background | None = None,
    masks: "str | np.ndarray | None" = None,
    key: str = IMAGE,
) -> Float[np.ndarray, "channels 2"]:
    """Percentiles of each channel over the pixels of all cells.

    Found on some cells, they scale others in the same way: ``normalize_images(test, scale=intensity_limits(train))``.

    Parameters
    ----------
    images
        AnnData with images in ``.obsm[key]``, or an array of (cells, channels, height, width).
    percentiles
        Percent of the pixels below the lower and below the upper limit.
    background, masks, key
        As in :func:`normalize_images`; give the same there.

    Returns
    -------
    Lower and upper limit, a row per channel.

    Raises
    ------
    ValueError
        If percentiles do not rise from 0 to 100, images have another shape, or pixels are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> intensity_limits(np.arange(101.0).reshape(1, 1, 1, 101), percentiles=(1, 90))
    array([[ 1., 90.]])
    """
    cells = read_cells(images, key=key, masks=masks)
    return channel_limits(cells, background_levels(cells, background), percentiles)


def channel_limits(
    cells: CellImages, levels: Float[np.ndarray, "cells channels"], percentiles: tuple[float, float]
) -> Float[np.ndarray, "channels 2"]:
    """Percentiles of each channel over all cells, the background taken off."""
    check_percentiles(percentiles)
    limits = np.empty((cells.images.shape[1], 2))
    for channel in range(len(limits)):
        pixels = cells.images[:, channel]
        if levels[:, channel].any():  # whole numbers stay small where nothing is taken off
            pixels = pixels - levels[:, channel, None, None]
        limits[channel] = np.percentile(_precise(pixels), percentiles)
    return _finite(limits)


def cell_limits(
    cells: CellImages, levels: Float[np.ndarray, "cells channels"], percentiles: tuple[float, float]
) -> Float[np.ndarray, "cells channels 2"]:
    """Percentiles of each channel of each cell, the background taken off."""
    check_percentiles(percentiles)
    pixels = _precise(cells.images.reshape(*cells.images.shape[:2], -1))
    return _finite(np.moveaxis(np.percentile(pixels, percentiles, axis=2), 0, -1) - levels[..., None])


def _precise(pixels: np.ndarray) -> np.ndarray:
    """Half-precision numbers are too coarse to interpolate percentiles between."""
    return pixels.astype(np.float32) if pixels.dtype == np.float16 else pixels


def _finite(limits: np.ndarray) -> np.ndarray:
    if not np.isfinite(limits).all():
        raise ValueError(
            "The images have NaN or infinite pixels, expected finite ones. Replace them, as by np.nan_to_num(images)."
        )
    return limits


def background_levels(cells: CellImages, background: Background | None) -> Float[np.ndarray, "cells channels"]:
    """Median of each cell's background in each channel; 0 if none is taken off, or a cell has no background.

    Raises
    ------
    ValueError
        If background is neither known nor None, or there are no masks to tell it by.
    """
    levels = np.zeros(cells.images.shape[:2])
    if background is None:
        return levels
    is_background = _is_background(cells, background)
    for row in np.flatnonzero(is_background.any(axis=(1, 2))):
        levels[row] = np.median(cells.images[row][:, is_background[row]], axis=1)
    return levels


def _is_background(cells: CellImages, background: str) -> np.ndarray:
    height, width = cells.images.shape[2:]
    if background == "border":
        frame = np.ones((height, width), dtype=bool)
        frame[1:-1, 1:-1] = False
        return np.broadcast_to(frame, (len(cells), height, width))
    if background != "mask":
        raise ValueError(f"background is {background!r}, expected 'border', 'mask' or None.")
    if cells.masks is None:
        raise ValueError("background='mask' found no .obsm['mask']. Pass masks=... or background='border'.")
    return ~cells.masks


def check_percentiles(percentiles: tuple[float, float]) -> None:
    """Refuse percentiles that do not rise from 0 to 100.

    Raises
    ------
    ValueError
        If so.
    """
    low, high = percentiles
    if not 0 <= low < high <= 100:
        raise ValueError(f"percentiles is {percentiles}, expected two numbers that rise, from 0 to 100.")


def as_limits(limits: Num[np.ndarray, "channels 2"], n_channels: int) -> Float[np.ndarray, "channels 2"]:
    """Check limits that the user gives.

    Raises
    ------
    ValueError
        If there is not a lower and an upper limit per channel.
    """
    limits = np.asarray(limits, dtype=np.float64)
    if limits.shape != (n_channels, 2) or not (limits[:, 0] <= limits[:, 1]).all():
        raise ValueError(
            f"scale is an array of shape {limits.shape}, expected ({n_channels}, 2): a lower and an upper limit per "
            "channel, as intensity_limits gives."
        )
    return limits
