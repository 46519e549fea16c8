"""A file of simulated cells that memory need not hold."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy import sparse

POOL = 8_192
"""Cells that differ; a file with more repeats them, in another order each time."""

N_FACTORS = 8


def write_cells(
    path: str | Path,
    n_cells: int,
    *,
    sizes: dict[str, tuple[int, float]] | None = None,
    seed: int = 0,
) -> Path:
    """Write an h5mu file of cells with RNA and accessible peaks, a piece at a time.

    Both modalities follow from the same factors. Values are 8-bit integers, not compressed: with the default sizes a
    cell takes 6.6 kB, a million cells 6.6 GB.

    Parameters
    ----------
    path
        New file.
    n_cells
        Number of cells.
    sizes
        By modality, number of features and share of them that is not zero; by default ``rna`` with 4,000 and 8 %,
        ``atac`` with 20,000 and 5 %. A modality called ``atac`` holds zeros and ones, others counts.
    seed
        Fixes everything.

    Returns
    -------
    The path.
    """
    sizes = sizes or {"rna": (4_000, 0.08), "atac": (20_000, 0.05)}
    random = np.random.default_rng(seed)
    factors = random.normal(size=(min(POOL, n_cells), N_FACTORS))
    pools = {name: _cells(factors, *size, is_binary=name == "atac", random=random) for name, size in sizes.items()}
    _write_names(Path(path), n_cells, pools)
    orders = [random.permutation(len(factors)) for _ in range(0, n_cells, len(factors))]
    with h5py.File(path, "r+") as file:
        for name, pool in pools.items():
            _write_table(file["mod"][name], pool, np.concatenate(orders)[:n_cells])
    return Path(path)


def _cells(
    factors: np.ndarray, n_features: int, density: float, *, is_binary: bool, random: np.random.Generator
) -> sparse.csr_matrix:
    """Cells whose non-zero features are drawn without replacement, the more likely the more factors favour them."""
    n_cells, n_stored = len(factors), round(density * n_features)
    loadings, frequency = random.normal(size=(N_FACTORS, n_features)) / 3, random.normal(size=n_features)
    chosen = np.empty((n_cells, n_stored), dtype=np.int32)
    for start in range(0, n_cells, 512):
        rows = slice(start, start + 512)
        preference = factors[rows] @ loadings + frequency
        preference += random.gumbel(size=preference.shape)  # the largest are a draw without replacement
        chosen[rows] = np.sort(np.argpartition(preference, -n_stored, axis=1)[:, -n_stored:], axis=1)
    values = 1 + (0 if is_binary else random.poisson(0.7, chosen.size))
    values = np.broadcast_to(np.uint8(values), chosen.size)
    offsets = n_stored * np.arange(n_cells + 1, dtype=np.int64)
    return sparse.csr_matrix((values, chosen.ravel(), offsets), shape=(n_cells, n_features))


def _write_names(path: Path, n_cells: int, pools: dict[str, sparse.csr_matrix]) -> None:
    """Write everything but the tables."""
    obs = pd.DataFrame(index=[f"cell {i}" for i in range(n_cells)])
    features = {name: [f"{name} {i}" for i in range(pool.shape[1])] for name, pool in pools.items()}
    MuData({name: AnnData(obs=obs, var=pd.DataFrame(index=names)) for name, names in features.items()}).write_h5mu(path)


def _write_table(group: h5py.Group, pool: sparse.csr_matrix, order: np.ndarray) -> None:
    """Write the rows of a pool in an order, with repeats, as a sparse ``X``."""
    per_cell = pool.indptr[1]
    if "X" in group:
        del group["X"]
    table = group.create_group("X")
    table.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
    table.attrs["shape"] = np.array([len(order), pool.shape[1]])
    table["indptr"] = per_cell * np.arange(len(order) + 1, dtype=np.int64)
    size = (per_cell * len(order),)
    values = table.create_dataset("data", size, pool.data.dtype, chunks=(min(2**18, *size),))
    indices = table.create_dataset("indices", size, pool.indices.dtype, chunks=(min(2**18, *size),))
    for start in range(0, len(order), POOL):
        part = pool[order[start : start + POOL]]
        where = slice(per_cell * start, per_cell * start + part.nnz)
        values[where], indices[where] = part.data, part.indices
