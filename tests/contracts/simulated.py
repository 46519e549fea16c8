"""Small simulated cells: known factors, known pairing, every row tellable from every other."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy import sparse

N_FACTORS = 3


def factors(n_cells: int, seed: int = 0) -> np.ndarray:
    """Shared factors of each cell."""
    return np.random.default_rng(seed).normal(size=(n_cells, N_FACTORS))


def linear_features(shared: np.ndarray, n_features: int, seed: int, noise: float = 0.3) -> np.ndarray:
    """Continuous features that follow linearly from shared factors and from two private ones."""
    random = np.random.default_rng(seed)
    private = random.normal(size=(len(shared), 2))
    loadings = random.normal(size=(shared.shape[1] + 2, n_features))
    values = np.concatenate([shared, private], axis=1) @ loadings
    return np.float32(values + noise * random.normal(size=values.shape) + random.normal(size=n_features))


def counts(shared: np.ndarray, n_features: int, seed: int) -> np.ndarray:
    """Counts whose logarithmic rates follow from shared factors."""
    rate = np.exp(0.5 + 0.25 * linear_features(shared, n_features, seed))
    return np.random.default_rng(seed + 1).poisson(rate).astype(np.float32)


def as_adata(values: np.ndarray | sparse.spmatrix, cells: Sequence[str], prefix: str) -> AnnData:
    """Wrap a matrix with the names of its cells and features."""
    names = [f"{prefix}_{i}" for i in range(values.shape[1])]
    return AnnData(values, obs=pd.DataFrame(index=list(cells)), var=pd.DataFrame(index=names))


def cell_names(n_cells: int) -> np.ndarray:
    """Give names whose alphabetical order is not that of the cells."""
    return np.array([f"cell{(i * 37) % 1000:03d}" for i in range(n_cells)])


def simulate(
    n_cells: int = 40,
    *,
    present: Mapping[str, Sequence[int]] | None = None,
    kinds: Mapping[str, str] | None = None,
    shuffle: bool = False,
    n_features: int = 12,
    seed: int = 0,
) -> MuData:
    """Cells measured in some modalities each.

    Parameters
    ----------
    n_cells
        Cells in all.
    present
        Which cells each modality holds, in which order; all by default.
    kinds
        ``"counts"``, ``"sparse"`` (counts as CSR) or ``"features"`` by modality.
    shuffle
        Put the cells of each modality in an order of their own.
    n_features
        Features of each modality.
    seed
        Fixes everything.
    """
    kinds = kinds or {"rna": "sparse", "protein": "features"}
    shared, names = factors(n_cells, seed), cell_names(n_cells)
    modalities = {}
    for position, (modality, kind) in enumerate(kinds.items()):
        draw = linear_features if kind == "features" else counts
        values = draw(shared, n_features + position, seed + 10 * position + 1)
        cells = np.arange(n_cells) if present is None else np.asarray(present[modality])
        if shuffle:
            cells = np.random.default_rng(seed + position).permutation(cells)
        matrix = sparse.csr_matrix(values[cells]) if kind == "sparse" else values[cells]
        modalities[modality] = as_adata(matrix, names[cells], modality)
    mdata = MuData(modalities)
    annotate(mdata, shared, names)
    return mdata


def annotate(mdata: MuData, shared: np.ndarray, names: np.ndarray) -> None:
    """Put a label of three classes, a batch of two and a marker into ``mdata.obs``."""
    known = pd.DataFrame(
        {
            "label": np.array(["a", "b", "c"])[np.digitize(shared[:, 0], [-0.5, 0.5])],
            "batch": np.array(["one", "two"])[np.arange(len(names)) % 2],
            "marker": shared[:, 1],
        },
        index=names,
    )
    for column in known:
        mdata.obs[column] = known[column].reindex(mdata.obs_names).to_numpy()


MOSAIC = {"rna": range(30), "protein": range(20, 40)}
"""20 cells have RNA alone, 10 have both, 10 have protein alone."""

UNPAIRED = {"rna": range(20), "protein": range(20, 40)}


def dense(matrix: object) -> np.ndarray:
    """Give any matrix as an array."""
    return matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)
