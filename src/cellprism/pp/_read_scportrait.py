"""Single-cell images that scPortrait extracted."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cellprism._keys import CHANNELS, IMAGE, MASK

if TYPE_CHECKING:
    import anndata

SINGLE_CELL_IMAGES = "single_cell_images"


def read_scportrait(path: str | Path, *, masks: str | list[str] | None = None) -> "anndata.AnnData":
    """Read a file of single-cell images of scPortrait (``.h5sc`` or ``.h5ad``), masks and images apart.

    scPortrait keeps both as channels of ``.obsm["single_cell_images"]``, the masks first. scPortrait itself is not
    needed. Images are read into memory in the type they have, half-precision floats from 0 to 1 as a rule.

    Parameters
    ----------
    path
        The file.
    masks
        Names of the masks that make up the foreground together. All by default.

    Returns
    -------
    AnnData of the cells.

    - ``.obsm["image"]``: (cells, channels, height, width).
    - ``.obsm["mask"]``: (cells, 1, height, width), true where any of the masks is; left out if there is no mask.
    - ``.uns["channels"]``: names of the image channels.
    - ``.obs``: as in the file, with ``cell_id``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    KeyError
        If the file has no such images, does not name its channels, or has no mask of that name.

    References
    ----------
    https://mannlabs.github.io/scPortrait/pages/workflow/single_cell_image_format.html
    """
    import anndata

    if not Path(path).exists():
        raise FileNotFoundError(f"No file at {path}.")
    stored = anndata.read_h5ad(path)
    if SINGLE_CELL_IMAGES not in stored.obsm:
        raise KeyError(f"{path} has no .obsm[{SINGLE_CELL_IMAGES!r}]; it has {list(stored.obsm)}.")
    pixels = np.asarray(stored.obsm[SINGLE_CELL_IMAGES])
    channels = _channels(stored, path)
    is_mask = (channels["channel_mapping"] == "mask").to_numpy()
    adata = anndata.AnnData(obs=stored.obs)
    adata.obsm[IMAGE] = np.ascontiguousarray(pixels[:, ~is_mask])
    adata.uns[CHANNELS] = channels["channels"][~is_mask].tolist()
    chosen = _chosen_masks(channels["channels"], is_mask, masks)
    if chosen.any():
        adata.obsm[MASK] = (pixels[:, chosen] > 0).any(axis=1, keepdims=True)
    return adata


def _channels(stored: "anndata.AnnData", path: str | Path) -> pd.DataFrame:
    """Names of the channels and whether each is a mask, from ``.uns`` or else from ``.var``."""
    columns = ["channels", "channel_mapping"]
    told = stored.uns.get(SINGLE_CELL_IMAGES, {})
    if "channel_names" in told and "channel_mapping" in told:
        channels = pd.DataFrame({"channels": told["channel_names"], "channel_mapping": told["channel_mapping"]})
    elif set(columns) <= set(stored.var):
        channels = stored.var[columns]
    else:
        raise KeyError(
            f"{path} does not say which channels are masks, expected 'channel_names' and 'channel_mapping' in "
            f".uns[{SINGLE_CELL_IMAGES!r}], or .var with {columns}."
        )
    return channels.astype(str).reset_index(drop=True)


def _chosen_masks(names: pd.Series, is_mask: np.ndarray, masks: str | list[str] | None) -> np.ndarray:
    if masks is None:
        return is_mask
    masks = [masks] if isinstance(masks, str) else masks
    unknown = [name for name in masks if name not in set(names[is_mask])]
    if unknown:
        raise KeyError(f"masks has {unknown}, expected some of {names[is_mask].tolist()}.")
    return is_mask & names.isin(masks).to_numpy()
