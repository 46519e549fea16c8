"""Single-cell images from slots or arrays."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellprism import _keys

if TYPE_CHECKING:
    import anndata


@dataclass(frozen=True)
class CellImages:
    """Images of cells (cells, channels, height, width), the names of their channels and of the cells.

    ``cells`` is ``None`` for images that came as an array.
    """

    pixels: np.ndarray
    channels: list[str]
    cells: list[str] | None = None

    def __len__(self) -> int:
        return len(self.pixels)


def read_images(data: "anndata.AnnData | np.ndarray", key: str) -> CellImages:
    """Read images from ``.obsm[key]``, with the names in ``.uns["channels"]`` if there are any, or from an array.

    Raises
    ------
    KeyError
        If there is no such slot.
    ValueError
        If the images are not (cells, channels, height, width), or there is not one name per channel.
    """
    if isinstance(data, np.ndarray):
        _check_shape(data, "the array")
        return CellImages(data, _numbered(data.shape[1]))
    if key not in data.obsm:
        raise KeyError(f"{key!r} was not found in .obsm, which has {list(data.obsm)}. Pass key=... or an array.")
    pixels = np.asarray(data.obsm[key])
    _check_shape(pixels, f".obsm[{key!r}]")
    channels = [str(name) for name in data.uns.get(_keys.CHANNELS, _numbered(pixels.shape[1]))]
    if len(channels) != pixels.shape[1]:
        raise ValueError(
            f".uns['channels'] names {channels}, but .obsm[{key!r}] has {pixels.shape[1]} channels; "
            "expected one name per channel."
        )
    return CellImages(pixels, channels, [str(name) for name in data.obs_names])


def as_shares(pixels: np.ndarray) -> np.ndarray:
    """Give integer images as shares of their type's range (uint8: divided by 255), and floats as they are."""
    if np.issubdtype(pixels.dtype, np.integer):
        return pixels.astype(np.float32) / np.iinfo(pixels.dtype).max
    return pixels.astype(np.float32)


def _numbered(n_channels: int) -> list[str]:
    return [f"channel {position}" for position in range(n_channels)]


def _check_shape(pixels: np.ndarray, slot: str) -> None:
    if pixels.ndim != 4:
        raise ValueError(
            f"Found images of shape {pixels.shape} in {slot}, expected (cells, channels, height, width). "
            "Give images of one channel as images[:, None]."
        )
