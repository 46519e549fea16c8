"""How images lie in an AnnData: which slot, which axes, which channels; errors that say what to do."""

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from cellprism import _keys
from cellprism.data import closest, is_stored

MAX_CHANNELS = 30
SIDES = (16, 256)


def image_array(adata: AnnData, key: str, accessor: str) -> Any:
    """Give ``.obsm[key]`` as it lies, in memory or in a file, after a look at its type and its axes.

    Raises
    ------
    KeyError
        If there is no such slot.
    TypeError
        If it is neither a numpy array nor one in a file.
    ValueError
        If its axes are not cells, channels, height, width, or its size is out of bounds.
    """
    path = f"{accessor}.obsm[{key!r}]"
    if key not in adata.obsm:
        raise KeyError(
            f"{path} does not exist. {closest(key, list(adata.obsm))} Images belong in .obsm as an array "
            "(cells, channels, height, width), not in .X."
        )
    images = adata.obsm[key]
    if not isinstance(images, np.ndarray) and not is_stored(images):
        raise TypeError(
            f"{path} is a {type(images).__name__}; expected a numpy array. "
            f"Load it first: adata.obsm[{key!r}] = np.asarray(adata.obsm[{key!r}])."
        )
    _check_axes(images, path)
    if not (images.dtype in (np.uint8, np.uint16) or images.dtype.kind == "f"):
        raise ValueError(f"{path} has dtype {images.dtype}; expected uint8, uint16 or floating point. Convert it.")
    return images


def _check_axes(images: Any, path: str) -> None:
    shape = images.shape
    lacking = {2: "channels, height and width are", 3: "the channel is" if _is_flat(shape) else "an axis is"}
    fix = {2: "Reshape it.", 3: "For images of one channel, add the axis: array[:, None]."}
    if images.ndim in lacking:
        raise ValueError(
            f"{path} has shape {shape}; expected (cells, channels, height, width): {lacking[images.ndim]} missing. "
            f"{fix[images.ndim]}"
        )
    if images.ndim != 4:
        raise ValueError(f"{path} has {images.ndim} axes; expected 4: (cells, channels, height, width).")
    if shape[3] <= MAX_CHANNELS and (shape[1] > MAX_CHANNELS or shape[3] < SIDES[0] <= min(shape[1:3])):
        raise ValueError(
            f"{path} has shape {shape}, which looks like channels last; expected (cells, channels, height, width). "
            "Move the axis: np.moveaxis(array, -1, 1)."
        )
    if not 1 <= shape[1] <= MAX_CHANNELS:
        raise ValueError(f"{path} has {shape[1]} channels (shape {shape}); expected 1 to {MAX_CHANNELS}.")
    if min(shape[2:]) < SIDES[0] or max(shape[2:]) > SIDES[1]:
        raise ValueError(
            f"{path} has images of {shape[2]} x {shape[3]} pixels; expected sides of {SIDES[0]} to {SIDES[1]}. "
            "Crop, pad or rescale them."
        )


def _is_flat(shape: tuple[int, ...]) -> bool:
    return min(shape[1:]) > MAX_CHANNELS or shape[1] == shape[2]


def channel_names(adata: AnnData, key: str, n_channels: int, accessor: str) -> list[str]:
    """Names of all channels: ``.uns["channels"]``, scPortrait's ``.uns[key]["channel_names"]``, or numbers.

    Raises
    ------
    ValueError
        If there are not as many names as channels, or they are not distinct.
    """
    entry: Any = adata.uns.get(_keys.CHANNELS)
    where = f"{accessor}.uns['channels']"
    if entry is None and isinstance(adata.uns.get(key), dict):
        entry, where = adata.uns[key].get("channel_names"), f"{accessor}.uns[{key!r}]['channel_names']"
    if entry is None:
        return [f"channel {i}" for i in range(n_channels)]
    names = [str(name) for name in np.atleast_1d(np.asarray(entry, dtype=object)).tolist()]
    if len(names) != n_channels or len(set(names)) != n_channels:
        raise ValueError(
            f"{where} names the channels {names}; {accessor}.obsm[{key!r}] has {n_channels}. "
            "Give one distinct name for each."
        )
    return names


def channel_positions(asked: tuple[str, ...], known: list[str], path: str) -> list[int]:
    """Where the channels asked for lie.

    Raises
    ------
    KeyError
        If there is no such channel.
    """
    for name in asked:
        if name not in known:
            raise KeyError(f"{path} has no channel {name!r}. {closest(name, known)}")
    return [known.index(name) for name in asked]


def check_pixels(
    images: np.ndarray, positions: list[int], measured: np.ndarray | None, path: str, *, is_unit: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Refuse pixels that are not finite and intensities outside the range; give each channel's limits.

    Looks at some cells at a time, so that no copy of all images is made.

    Parameters
    ----------
    images
        All channels of all cells.
    positions
        Which channels are looked at.
    measured
        Cells x chosen channels that count; all by default.
    path
        Accessor path, for messages.
    is_unit
        Whether floating-point intensities must lie in [0, 1].

    Returns
    -------
    Lowest and highest intensity of each channel; infinity and its negative where it was measured in no cell.
    """
    if not len(images):
        raise ValueError(f"{path} has no cells (shape {images.shape}). Drop this modality or fill it.")
    low, high = np.full(len(positions), np.inf), np.full(len(positions), -np.inf)
    for start in range(0, len(images), 512):
        part = images[start : start + 512][:, positions]
        known = np.ones(part.shape[:2], bool) if measured is None else measured[start : start + 512]
        if part.dtype.kind == "f" and not np.isfinite(part[known]).all():
            n_bad = int((~np.isfinite(part)).any(axis=(2, 3))[known].sum())
            raise ValueError(
                f"{path} has NaN or infinite values in {n_bad} images; expected finite numbers. Where a channel was "
                "not measured, say so by a mask: Images(measured=...)."
            )
        low = np.minimum(low, np.where(known, part.min((2, 3)), np.inf).min(0))
        high = np.maximum(high, np.where(known, part.max((2, 3)), -np.inf).max(0))
    if images.dtype.kind == "f" and is_unit and (low.min() < 0 or high.max() > 1):
        raise ValueError(
            f"{path} has intensities from {low.min():.3g} to {high.max():.3g}; expected floating-point images in "
            "[0, 1]. Use Images(scale='percentile') or scale='cell', or divide by the camera's range."
        )
    return low, high


def check_variation(low: np.ndarray, high: np.ndarray, names: tuple[str, ...], path: str) -> None:
    """Refuse to learn from channels that are constant. New cells may be blank in one.

    Raises
    ------
    ValueError
        If a channel's lowest intensity is its highest, or it was measured in no cell.
    """
    for name, lowest, highest in zip(names, low, high, strict=True):
        if not lowest < highest:
            found = "was measured in no cell" if lowest > highest else f"is {lowest:.3g} in every pixel of every cell"
            raise ValueError(f"Channel {name!r} of {path} {found}; expected images that vary. Leave it out.")


def read_mask(adata: AnnData, key: str, size: tuple[int, int], accessor: str) -> np.ndarray:
    """Read a foreground mask, (cells, height, width) or (cells, 1, height, width), as booleans with one channel.

    Raises
    ------
    KeyError
        If there is no such slot.
    ValueError
        If its shape is not that of the images.
    """
    path = f"{accessor}.obsm[{key!r}]"
    if key not in adata.obsm:
        raise KeyError(f"{path} does not exist. {closest(key, list(adata.obsm))}")
    mask = np.asarray(adata.obsm[key])
    expected = (adata.n_obs, 1, *size)
    if mask.ndim == 3:
        mask = mask[:, None]
    if mask.shape != expected:
        raise ValueError(f"{path} has shape {mask.shape}; expected {expected}, as the images have.")
    return mask > 0


def read_measured(adata: AnnData, key: str, names: list[str], positions: list[int], accessor: str) -> np.ndarray:
    """Read which channels were measured of each cell: booleans, cells x all channels, or a DataFrame by name.

    Raises
    ------
    KeyError
        If there is no such slot.
    ValueError
        If its shape is not cells x channels, or it holds something else than yes and no.
    """
    path = f"{accessor}.obsm[{key!r}]"
    if key not in adata.obsm:
        raise KeyError(f"{path} does not exist. {closest(key, list(adata.obsm))}")
    table = adata.obsm[key]
    if isinstance(table, pd.DataFrame):
        lacking = [names[i] for i in positions if names[i] not in table]
        if lacking:
            raise ValueError(f"{path} has no column {lacking[0]!r}; expected one for each channel.")
        return _as_booleans(table[[names[i] for i in positions]].to_numpy(), path)
    values = np.asarray(table)
    if values.shape != (adata.n_obs, len(names)):
        raise ValueError(f"{path} has shape {values.shape}; expected cells x channels, {(adata.n_obs, len(names))}.")
    return _as_booleans(values[:, positions], path)


def _as_booleans(values: np.ndarray, path: str) -> np.ndarray:
    is_yes = values == 1
    if not (is_yes | (values == 0)).all():
        raise ValueError(f"{path} has values other than True and False, such as NaN; say of each channel which it is.")
    return is_yes.astype(bool)


def read_identity(adata: AnnData, column: str, known: tuple[str, ...], accessor: str) -> np.ndarray:
    """Code of what was stained in each cell.

    Raises
    ------
    KeyError
        If there is no such column.
    ValueError
        If a cell has none, or one that the model does not know.
    """
    values = identity_column(adata, column, accessor)
    codes = pd.Index(known).get_indexer(values)
    if (codes < 0).any():
        unseen = sorted(set(values[codes < 0]))
        raise ValueError(
            f"{accessor}.obs[{column!r}] has identities that the model has not seen: "
            f"{', '.join(map(repr, unseen))}. {closest(unseen[0], list(known))} It knows {', '.join(map(repr, known))}."
        )
    return codes.astype(np.int64)


def identity_column(adata: AnnData, column: str, accessor: str) -> pd.Series:
    """Give the column of identities as text.

    Raises
    ------
    KeyError
        If there is no such column.
    ValueError
        If a cell has none.
    """
    if column not in adata.obs:
        raise KeyError(f"{accessor}.obs[{column!r}] does not exist. {closest(column, list(adata.obs.columns))}")
    values = adata.obs[column]
    if values.isna().any():
        raise ValueError(f"{accessor}.obs[{column!r}] has no value for {int(values.isna().sum())} cells; name each.")
    return values.astype(str)
