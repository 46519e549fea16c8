"""One map of the cells of several modalities."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cellprism._keys import X_SHARED
from cellprism.tl._slots import embedding_frame, label_series

if TYPE_CHECKING:
    import anndata
    import mudata


def joint_umap(
    mdata: "mudata.MuData",
    modalities: Sequence[str] | None = None,
    *,
    key: str = X_SHARED,
    labels_key: str | None = None,
    n_neighbors: int = 15,
    random_state: int = 0,
) -> "anndata.AnnData":
    """Stack the cells of several modalities by their embeddings and lay them out in one UMAP.

    A cell measured in two modalities is there twice, once as seen by each: where a modality's points lie
    apart, the embedding is not aligned.

    Parameters
    ----------
    mdata
        Holds ``mdata[modality].obsm[key]`` of every modality, of one width. Left as it is.
    modalities
        Names of the modalities. All by default.
    key
        ``.obsm`` key of the embedding.
    labels_key
        Column of labels, in each modality's ``.obs`` or in ``mdata.obs``, to copy.
    n_neighbors
        Neighbours per cell in the graph that is laid out; at most the number of other cells.
    random_state
        Seed of the layout.

    Returns
    -------
    AnnData without features, of cells named ``<cell>-<modality>``.

    - ``.obs``: ``modality``, ``cell`` (name in ``mdata``), and ``labels_key`` if it was given.
    - ``.obsm``: the embedding under ``key``, and ``X_umap``.

    Raises
    ------
    KeyError
        If a modality, the embedding or the labels are not found.
    ValueError
        If embeddings differ in width, or there are fewer than 3 cells.
    """
    import scanpy as sc

    modalities = list(mdata.mod) if modalities is None else list(modalities)
    embeddings = {modality: embedding_frame(mdata, modality, key) for modality in modalities}
    stacked = _stack(embeddings, key)
    if labels_key is not None:
        labels = [label_series(mdata, name, labels_key).loc[cells.index] for name, cells in embeddings.items()]
        stacked.obs[labels_key] = pd.Categorical(np.concatenate(labels))
    if stacked.n_obs < 3:
        raise ValueError(f"Found {stacked.n_obs} cells with an embedding, expected at least 3 to lay out.")
    neighbours = min(n_neighbors, stacked.n_obs - 1)
    sc.pp.neighbors(stacked, n_neighbors=neighbours, use_rep=key, random_state=random_state)
    sc.tl.umap(stacked, random_state=random_state)
    return stacked


def _stack(embeddings: dict[str, pd.DataFrame], key: str) -> "anndata.AnnData":
    from anndata import AnnData

    widths = {modality: cells.shape[1] for modality, cells in embeddings.items()}
    if len(set(widths.values())) != 1:
        raise ValueError(f"Found embeddings of widths {widths}, expected one width. Compare a shared block.")
    modality = np.repeat(list(embeddings), [len(cells) for cells in embeddings.values()])
    cell = np.concatenate([cells.index.to_numpy(dtype=object) for cells in embeddings.values()])
    names = pd.Index([f"{name}-{origin}" for name, origin in zip(cell, modality, strict=True)])
    obs = pd.DataFrame({"modality": pd.Categorical(modality, categories=list(embeddings)), "cell": cell}, index=names)
    embedding = np.concatenate([cells.to_numpy(dtype=np.float32) for cells in embeddings.values()])
    return AnnData(obs=obs, obsm={key: embedding})
