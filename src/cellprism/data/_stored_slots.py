"""Slots of an AnnData that lie in a file, of which some rows are read at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from anndata.abc import CSCDataset, CSRDataset
from scipy import sparse

from cellprism.data._annbatch import AnnbatchTable, is_readable

BLOCK = 64
"""Neighbouring rows that are read from a file together."""

N_LOOKED_AT = 2_048
"""Rows of a file that are looked at to find out what it holds."""


def spread(n_rows: int, n_most: int = N_LOOKED_AT) -> np.ndarray:
    """Positions of all rows or, where they are more than ``n_most``, of evenly spread blocks of neighbours."""
    if n_rows <= n_most:
        return np.arange(n_rows)
    starts = np.linspace(0, n_rows - BLOCK, max(1, n_most // BLOCK)).astype(int)
    return np.unique(starts[:, None] + np.arange(BLOCK))


def is_stored(value: Any) -> bool:
    """Whether an array lies in a file, or is not yet computed, so that its rows are read when they are needed."""
    if isinstance(value, h5py.Dataset | CSRDataset | CSCDataset):
        return True
    return type(value).__module__.split(".")[0] in ("zarr", "dask")  # neither needs to be installed


@dataclass(frozen=True)
class SparseTable:
    """A CSR matrix in a file; where each row begins is kept in memory.

    Parameters
    ----------
    group
        The HDF5 or zarr group with its parts.
    shape
        Rows and columns.
    """

    group: Any
    shape: tuple[int, int]

    @cached_property
    def offsets(self) -> np.ndarray:
        """Where each row begins, and the last one ends."""
        return self.group["indptr"][:].astype(np.int64)

    def __getitem__(self, rows: np.ndarray) -> sparse.csr_matrix:
        """Read the rows at ascending positions."""
        offsets = np.concatenate([[0], np.cumsum(self.offsets[rows + 1] - self.offsets[rows])])
        spans = [(int(self.offsets[first]), int(self.offsets[last])) for first, last in runs(rows)]
        parts = (_read_spans(self.group[name], spans) for name in ("data", "indices"))
        return sparse.csr_matrix((*parts, offsets), shape=(len(rows), self.shape[1]))


def runs(rows: np.ndarray) -> list[tuple[int, int]]:
    """First row and the one behind the last of each run of neighbours among ascending rows."""
    parts = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1) if len(rows) else []
    return [(int(part[0]), int(part[-1]) + 1) for part in parts]


def _read_spans(array: Any, spans: list[tuple[int, int]]) -> np.ndarray:
    """Read spans of the first axis one after the other."""
    values = np.empty((sum(last - first for first, last in spans), *array.shape[1:]), dtype=array.dtype)
    start = 0
    for first, last in spans:
        values[start : start + last - first] = array[first:last]
        start += last - first
    return values


def take_rows(values: Any, rows: np.ndarray) -> Any:
    """Rows of an array or table at ascending positions, in memory."""
    if isinstance(values, pd.DataFrame | pd.Series):
        return values.iloc[rows]
    if type(values).__module__.split(".")[0] == "dask":
        return values[rows].compute()
    if is_stored(values):
        return _read_spans(values, runs(rows))
    return values[rows]


class StoredSlots:
    """Some slots of an AnnData, as they are when this is made, of which rows are read when they are needed.

    Parameters
    ----------
    adata
        Where the slots lie.
    wanted
        Paths of slots, such as ``"X"``, ``"layers/counts"``, ``"obsm/image"`` or ``"obs/protein"``; all, where it is
        ``None`` or one is missing.
    accessor
        Path of ``adata``, for messages.

    Attributes
    ----------
    n_rows
        Number of cells.
    is_stored
        Whether any of the slots lies in a file.

    Raises
    ------
    ValueError
        If a table lies in the file by columns, so that its rows cannot be read apart.
    """

    def __init__(self, adata: AnnData, wanted: Sequence[str] | None, accessor: str) -> None:
        whole, self._rows, self._columns = _shown(adata)
        slots = _slots(whole)
        if wanted is not None and all(path in slots for path in wanted):
            slots = {path: slots[path] for path in wanted}
        self._slots = {path: _readable(value, path, accessor) for path, value in slots.items()}
        self._var, self._uns, self._names = whole.var, dict(whole.uns), whole.obs_names
        self.n_rows = adata.n_obs
        self.is_stored = any(is_stored(value) for value in slots.values())

    def take(self, rows: np.ndarray) -> AnnData:
        """Read the rows at ascending positions into an AnnData in memory that has only these slots."""
        if self._rows is None:
            return self._read(rows)
        positions, order = np.unique(self._rows[rows], return_inverse=True)
        return self._read(positions)[order, self._columns].copy()

    def _read(self, rows: np.ndarray) -> AnnData:
        parts: dict[str, dict[str, Any]] = {"X": {}, "layers": {}, "obsm": {}, "obs": {}}
        for path, values in self._slots.items():
            place, _, key = path.partition("/")
            parts[place][key] = take_rows(values, rows)
        return AnnData(
            X=parts["X"].get(""),
            obs=pd.DataFrame(parts["obs"], index=self._names[rows]),
            var=self._var,
            uns=self._uns,
            layers=parts["layers"],
            obsm=parts["obsm"],
        )


def _shown(adata: AnnData) -> tuple[AnnData, np.ndarray | None, np.ndarray | None]:
    """What a view shows, by rows and columns: asked for a slot, it would read all that it shows from a file."""
    if not adata.is_view:
        return adata, None, None
    whole = adata._adata_ref
    return whole, np.arange(whole.n_obs)[adata._oidx], np.arange(whole.n_vars)[adata._vidx]


def _slots(adata: AnnData) -> dict[str, Any]:
    """Everything that has a row for each cell, by path."""
    slots = {} if adata.X is None else {"X": adata.X}
    slots |= {f"layers/{name}": adata.layers[name] for name in adata.layers if name is not None}
    slots |= {f"obsm/{name}": adata.obsm[name] for name in adata.obsm}
    return slots | {f"obs/{name}": adata.obs[name] for name in adata.obs}


def _readable(value: Any, path: str, accessor: str) -> Any:
    if isinstance(value, CSCDataset):
        place, _, key = path.partition("/")
        slot = f"{accessor}.{place}[{key!r}]" if key else f"{accessor}.{place}"
        raise ValueError(
            f"{slot} lies in the file by columns (CSC), so that no cell can be read alone; expected rows (CSR). Write "
            "the file anew with scipy.sparse.csr_matrix(...) there, or read it into memory."
        )
    if not isinstance(value, CSRDataset):
        return value
    return AnnbatchTable(value) if is_readable(value) else SparseTable(value.group, value.shape)


def some_in_memory(adata: AnnData, wanted: Sequence[str] | None, accessor: str) -> AnnData:
    """Give the AnnData itself or, where a slot lies in a file, evenly spread rows of it in memory."""
    slots = StoredSlots(adata, wanted, accessor)
    return slots.take(spread(slots.n_rows)) if slots.is_stored else adata
