"""Reading embeddings and labels from the slots of a MuData, by the names of its cells."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    import mudata


def embedding_frame(mdata: "mudata.MuData", modality: str, key: str) -> pd.DataFrame:
    """Give ``mdata[modality].obsm[key]`` by cell name, without the cells that have none (NaN rows).

    Raises
    ------
    KeyError
        If there is no such modality or slot.
    """
    if modality not in mdata.mod:
        raise KeyError(_not_found("mdata.mod", modality, list(mdata.mod)))
    adata = mdata.mod[modality]
    if key not in adata.obsm:
        raise KeyError(
            _not_found(f"mdata[{modality!r}].obsm", key, list(adata.obsm)) + " Write it with model.write(mdata)."
        )
    embedding = pd.DataFrame(np.asarray(adata.obsm[key]), index=adata.obs_names)
    return embedding[np.isfinite(embedding.to_numpy()).all(axis=1)]


def label_series(mdata: "mudata.MuData", modality: str, labels_key: str) -> pd.Series:
    """Give the labels of a modality's cells, from its own ``.obs`` or else from ``mdata.obs``.

    Raises
    ------
    KeyError
        If neither has such a column.
    """
    own = mdata.mod[modality].obs
    if labels_key in own:
        return own[labels_key].astype(object)
    if labels_key in mdata.obs:
        return mdata.obs[labels_key].astype(object).reindex(own.index)
    known = list(dict.fromkeys([*own.columns, *mdata.obs.columns]))
    raise KeyError(_not_found(f"mdata[{modality!r}].obs or mdata.obs", labels_key, known))


def chosen_cells(mdata: "mudata.MuData", cells: Sequence[str] | np.ndarray | pd.Series | pd.Index) -> pd.Index:
    """Turn a boolean mask over ``mdata.obs_names``, or names of cells, into names.

    Raises
    ------
    ValueError
        If a mask has another length, a name is unknown, or a bare string was given.
    """
    if isinstance(cells, str):
        raise ValueError(f"Found the string {cells!r}, expected a boolean mask over mdata.obs_names or cell names.")
    if isinstance(cells, pd.Series) and cells.dtype == bool:
        cells = cells.reindex(mdata.obs_names, fill_value=False)
    cells = np.asarray(cells)
    if cells.dtype != bool:
        unknown = pd.Index(cells).difference(mdata.obs_names)
        if len(unknown):
            raise ValueError(f"{len(unknown)} cell names are not in mdata.obs_names, such as {unknown[0]!r}.")
        return pd.Index(cells)
    if len(cells) != mdata.n_obs:
        raise ValueError(
            f"Found a mask over {len(cells)} cells, expected {mdata.n_obs}, one entry per mdata.obs_names."
        )
    return mdata.obs_names[cells]


def _not_found(slot: str, name: str, known: list[str]) -> str:
    closest = get_close_matches(name, [str(item) for item in known], n=1)
    hint = f" Did you mean {closest[0]!r}?" if closest else ""
    return f"{name!r} was not found in {slot}, which has {known}.{hint}"
