"""Images on a common scale."""

from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float, Num

from cellprism._keys import IMAGE, NORMALIZED
from cellprism.pp._cell_images import CellImages, read_cells
from cellprism.pp._limits import Background, as_limits, background_levels, cell_limits, channel_limits

if TYPE_CHECKING:
    import anndata


def normalize_images(
    images: "anndata.AnnData | np.ndarray",
    *,
    scale: Literal["channel", "cell", "dtype"] | Num[np.ndarray, "channels 2"] = "channel",
    percentiles: tuple[float, float] = (0.1, 99.9),
    background: Background | None = None,
    masks: "str | np.ndarray | None" = None,
    dtype: Literal["float32", "uint8"] = "float32",
    key: str = IMAGE,
    key_added: str = NORMALIZED,
) -> Num[np.ndarray, "cells channels height width"] | None:
    r"""Bring intensities to [0, 1], or to the 256 steps of 8 bits.

    .. math:: \min(1, \max(0, (x - b - l) / (u - l)))

    with :math:`b` the background and :math:`l, u` the limits of the scale. A channel without range becomes 0.

    Parameters
    ----------
    images
        AnnData with images in ``.obsm[key]``, or an array of (cells, channels, height, width). Left as it is.
    scale
        Where the limits come from. ``"channel"``: percentiles of each channel over all cells, which keeps bright cells
        brighter than dim ones. ``"cell"``: percentiles of each channel of each cell, which does not. ``"dtype"``: 0
        and the largest number of the integer type. An array: a lower and an upper limit per channel, as
        :func:`intensity_limits` gives.
    percentiles
        Percent of the pixels below the lower and below the upper limit.
    background
        What to take off each cell first, in each channel: the median of the crop's outermost pixels
        (``"border"``) or of the pixels outside the mask (``"mask"``). By default nothing.
    masks
        ``.obsm`` key or array of the foreground, (cells, 1, height, width); ``.obsm["mask"]`` by default.
    dtype
        Type of the result.
    key, key_added
        ``.obsm`` keys to read and to write.

    Returns
    -------
    Scaled images for an array; nothing for an AnnData, whose ``.obsm[key_added]`` is written.

    Raises
    ------
    KeyError
        If a slot is not found.
    ValueError
        If the scale is not known or does not fit the images, or pixels are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.array([[[[0, 51], [102, 255]]]], dtype=np.uint8)
    >>> normalize_images(image, scale="dtype")
    array([[[[0. , 0.2],
             [0.4, 1. ]]]], dtype=float32)
    """
    if dtype not in ("float32", "uint8"):
        raise ValueError(f"dtype is {dtype!r}, expected 'float32' or 'uint8'.")
    cells = read_cells(images, key=key, masks=masks)
    levels = background_levels(cells, background)
    scaled = _scaled(cells, levels, _limits(cells, levels, scale, percentiles), np.dtype(dtype))
    if isinstance(images, np.ndarray):
        return scaled
    images.obsm[key_added] = scaled
    return None


def _limits(
    cells: CellImages, levels: np.ndarray, scale: "str | np.ndarray", percentiles: tuple[float, float]
) -> Float[np.ndarray, "cells channels 2"]:
    shape = (*cells.images.shape[:2], 2)
    if not isinstance(scale, str):
        return np.broadcast_to(as_limits(scale, shape[1]), shape)
    if scale == "channel":
        return np.broadcast_to(channel_limits(cells, levels, percentiles), shape)
    if scale == "cell":
        return cell_limits(cells, levels, percentiles)
    if scale == "dtype":
        return np.broadcast_to(np.array([0.0, _largest(cells.images)]), shape)
    raise ValueError(f"scale is {scale!r}, expected 'channel', 'cell', 'dtype' or an array of limits.")


def _largest(images: np.ndarray) -> float:
    if images.dtype.kind in "iu":
        return float(np.iinfo(images.dtype).max)
    if images.dtype.kind == "f" and (images.min() < 0 or images.max() > 1):
        raise ValueError(
            f"scale='dtype' found {images.dtype} images from {images.min():.3g} to {images.max():.3g}, expected "
            "integers, or floats from 0 to 1. Use scale='channel'."
        )
    return 1.0


def _scaled(cells: CellImages, levels: np.ndarray, limits: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Scale cell by cell, so that no second copy of all images in double precision is made."""
    scaled = np.empty(cells.images.shape, dtype=dtype)
    span = limits[..., 1] - limits[..., 0]
    factors = np.divide(1.0, span, out=np.zeros_like(span), where=span > 0)
    for row, image in enumerate(cells.images):
        zero = (levels[row] + limits[row, :, 0])[:, None, None]
        unit = np.clip((image - zero) * factors[row][:, None, None], 0, 1)
        scaled[row] = np.rint(255 * unit) if dtype == np.uint8 else unit
    return scaled
