"""Images of cells and their foregrounds, from slots or from arrays."""

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Num

from cellprism._keys import CHANNELS, MASK
from cellprism.pp._field import is_of
from cellprism.pp._foreground import otsu_foreground

if TYPE_CHECKING:
    import anndata


@dataclass(frozen=True)
class CellImages:
    """One image per cell, and the foreground of each: given, or found by its brightness in one channel."""

    images: Num[np.ndarray, "cells channels *space"]
    masks: Bool[np.ndarray, "cells *space"] | None
    channel_names: list[str]
    mask_channel: int

    def __len__(self) -> int:
        return len(self.images)

    def cell(self, row: int) -> tuple[Num[np.ndarray, "channels *space"], Bool[np.ndarray, "*space"]]:
        """Give the image of one cell in double precision, and its foreground."""
        image = self.images[row].astype(np.float64)
        return image, otsu_foreground(image[self.mask_channel]) if self.masks is None else self.masks[row]


def read_cells(
    data: "anndata.AnnData | np.ndarray",
    *,
    key: str,
    masks: "str | np.ndarray | None",
    mask_channel: str | int = 0,
    n_axes: tuple[int, ...] = (2,),
) -> CellImages:
    """Read images and masks from an AnnData, or take the arrays themselves.

    Raises
    ------
    KeyError
        If a slot or channel is not found.
    TypeError
        If the images are no numpy array.
    ValueError
        If shapes are not those of one image per cell.
    """
    images, path = (data, "images") if isinstance(data, np.ndarray) else (_slot(data, key), f".obsm[{key!r}]")
    _check_images(images, path, n_axes)
    names = channel_names(data, images.shape[1])
    found = _masks(data, masks, images)
    return CellImages(np.asarray(images), found, names, _channel_number(mask_channel, names))


def channel_names(data: "anndata.AnnData | np.ndarray", n_channels: int) -> list[str]:
    """Names of the channels in ``.uns["channels"]``, or numbers.

    Raises
    ------
    ValueError
        If there is not one name per channel.
    """
    if isinstance(data, np.ndarray) or CHANNELS not in data.uns:
        return [f"channel_{number}" for number in range(n_channels)]
    names = [str(name) for name in data.uns[CHANNELS]]
    if len(names) != n_channels:
        raise ValueError(f".uns[{CHANNELS!r}] is {names}, expected one name for each of {n_channels} channels.")
    return names


def tell_empty_cells(is_empty: Bool[np.ndarray, " cells"]) -> None:
    """Say how many cells have no foreground.

    Raises
    ------
    ValueError
        If none has.

    Warns
    -----
    UserWarning
        If some have not.
    """
    if is_empty.all():
        raise ValueError(
            f"None of {len(is_empty)} cells has a foreground, expected true pixels in the masks or, without masks, "
            "images of more than one intensity. Pass masks=... or another mask_channel."
        )
    if is_empty.any():
        warnings.warn(
            f"{int(is_empty.sum())} of {len(is_empty)} cells have no foreground, the first in row "
            f"{int(is_empty.argmax())}; what is measured of them is NaN.",
            UserWarning,
            stacklevel=3,
        )


def _slot(adata: "anndata.AnnData", key: str) -> np.ndarray:
    if is_of(adata, "mudata", "MuData"):
        raise TypeError(f"Found a MuData of {list(adata.mod)}, expected one modality. Pass mdata[...] of one of these.")
    if key not in adata.obsm:
        raise KeyError(f".obsm has no {key!r}; it has {list(adata.obsm)}.")
    return adata.obsm[key]


def _check_images(images: np.ndarray, path: str, n_axes: tuple[int, ...]) -> None:
    if not isinstance(images, np.ndarray):
        raise TypeError(f"{path} is a {type(images).__name__}, expected a numpy array. Pass np.asarray(...) of it.")
    if images.ndim - 2 not in n_axes:
        depth = " or (cells, channels, depth, height, width)" if 3 in n_axes else ""
        raise ValueError(f"{path} has shape {images.shape}, expected (cells, channels, height, width){depth}.")


def _masks(
    data: "anndata.AnnData | np.ndarray", masks: "str | np.ndarray | None", images: np.ndarray
) -> np.ndarray | None:
    if masks is None:
        if isinstance(data, np.ndarray) or MASK not in data.obsm:
            return None
        masks = MASK
    path = "masks"
    if isinstance(masks, str):
        masks, path = _slot(data, masks), f".obsm[{masks!r}]"
    shape = (len(images), *images.shape[2:])
    if masks.size != np.prod(shape) or masks.shape[-len(shape[1:]) :] != shape[1:]:
        raise ValueError(
            f"{path} has shape {masks.shape}, expected {shape}, or that with one channel, to fit the images."
        )
    return np.asarray(masks).reshape(shape) > 0


def _channel_number(channel: str | int, names: list[str]) -> int:
    if isinstance(channel, str) and channel not in names:
        raise KeyError(f"mask_channel is {channel!r}, expected one of the channels {names}.")
    number = names.index(channel) if isinstance(channel, str) else channel
    if not 0 <= number < len(names):
        raise KeyError(f"mask_channel is {number}, expected a number from 0 to {len(names) - 1}.")
    return number
