"""Mean intensity by rings from the centre of a cell to its edge."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from scipy import ndimage

from cellprism._keys import IMAGE, RADIAL_PROFILE
from cellprism.pp._cell_images import read_cells, tell_empty_cells

if TYPE_CHECKING:
    import anndata

Scale = Literal["rings", "pixels", "none"]


def radial_profile(
    images: "anndata.AnnData | np.ndarray",
    *,
    masks: "str | np.ndarray | None" = None,
    mask_channel: str | int = 0,
    n_bins: int = 10,
    scale: Scale = "rings",
    spacing: Sequence[float] | None = None,
    key: str = IMAGE,
    key_added: str = RADIAL_PROFILE,
) -> Float[np.ndarray, "cells channels bins"] | None:
    r"""Mean intensity of concentric rings, over shares of the cell's area or volume.

    The mask is eroded ring by ring: ring k holds the pixels :math:`k \le d < k + 1` from the background. The mean of a
    ring is placed at the middle of the share of the area that the ring takes, counted from the centre, and read off
    by linear interpolation at the middles of ``n_bins`` equal shares: 0-10 %, the centre, to 90-100 %, the edge.

    Parameters
    ----------
    images
        AnnData with images in ``.obsm[key]``, or an array: (cells, channels, height, width), or with a depth before
        the height.
    masks
        ``.obsm`` key or array of the foreground, (cells, 1, height, width) or (cells, height, width). By default
        ``.obsm["mask"]``; without it, what is brighter than Otsu's threshold in ``mask_channel``: the piece that
        fills most of the middle of the image, holes filled.
    mask_channel
        Channel, by name or number, in which Otsu's threshold finds the cell.
    n_bins
        Number of shares.
    scale
        What a profile is divided by, in each cell and channel: its brightest ring, its brightest pixel, or nothing.
    spacing
        Size of a pixel along (depth,) height and width, if these differ. Rings are as wide as the smallest.
    key, key_added
        ``.obsm`` keys to read and to write.

    Returns
    -------
    Profiles for an array; nothing for an AnnData, whose ``.obsm[key_added]`` is written: a table with columns
    ``radial_<channel>_0_10`` to ``radial_<channel>_90_100``. NaN for cells without foreground.

    Raises
    ------
    KeyError
        If a slot or channel is not found.
    ValueError
        If shapes do not fit, the scale is not known, or no cell has a foreground.

    Warns
    -----
    UserWarning
        If cells have no foreground.

    References
    ----------
    :cite:p:`yang2021`, with distances as the crow flies where erosion follows the grid.

    Examples
    --------
    >>> import numpy as np
    >>> rows, columns = np.mgrid[-20:21, -20:21]
    >>> distance = np.hypot(rows, columns)
    >>> ramp = (100 - distance)[None, None]
    >>> radial_profile(ramp, masks=(distance < 20)[None], n_bins=4, scale="none").round()
    array([[[93., 88., 84., 81.]]])
    """
    if scale not in ("rings", "pixels", "none"):
        raise ValueError(f"scale is {scale!r}, expected 'rings', 'pixels' or 'none'.")
    cells = read_cells(images, key=key, masks=masks, mask_channel=mask_channel, n_axes=(2, 3))
    profiles = np.full((len(cells), len(cells.channel_names), n_bins), np.nan)
    for row in range(len(cells)):
        image, mask = cells.cell(row)
        if mask.any():
            profiles[row] = _profile(image, mask, n_bins, scale, spacing)
    tell_empty_cells(np.isnan(profiles).all(axis=(1, 2)))
    if isinstance(images, np.ndarray):
        return profiles
    columns = [f"radial_{name}_{share}" for name in cells.channel_names for share in _shares(n_bins)]
    images.obsm[key_added] = pd.DataFrame(profiles.reshape(len(cells), -1), index=images.obs_names, columns=columns)
    return None


def ring_numbers(mask: Bool[np.ndarray, "*space"], spacing: Sequence[float] | None = None) -> Int[np.ndarray, "*space"]:
    """Number the rings from the edge of a mask (1) inwards; 0 outside. The image's edge counts as background."""
    distances = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing)
    inside = distances[tuple(slice(1, -1) for _ in range(mask.ndim))]
    width = 1.0 if spacing is None else min(spacing)
    return np.floor(inside / width + 1e-9).astype(np.int64)


def _profile(
    image: Float[np.ndarray, "channels *space"],
    mask: Bool[np.ndarray, "*space"],
    n_bins: int,
    scale: Scale,
    spacing: Sequence[float] | None,
) -> Float[np.ndarray, "channels bins"]:
    rings = ring_numbers(mask, spacing)[mask]
    _, ring = np.unique(-rings, return_inverse=True)  # the centre comes first
    sizes = np.bincount(ring)
    middles = (np.cumsum(sizes) - sizes / 2) / sizes.sum()
    bins = (np.arange(n_bins) + 0.5) / n_bins
    return np.stack([_channel_profile(pixels[mask], ring, sizes, middles, bins, scale) for pixels in image])


def _channel_profile(
    pixels: np.ndarray, ring: np.ndarray, sizes: np.ndarray, middles: np.ndarray, bins: np.ndarray, scale: Scale
) -> np.ndarray:
    means = np.bincount(ring, weights=pixels) / sizes
    brightest = {"rings": means.max(), "pixels": pixels.max(), "none": 1.0}[scale]
    return np.interp(bins, middles, means / brightest if brightest > 0 else np.zeros_like(means))


def _shares(n_bins: int) -> list[str]:
    ends = [f"{100 * number / n_bins:.4g}" for number in range(n_bins + 1)]
    return [f"{start}_{end}" for start, end in pairwise(ends)]
