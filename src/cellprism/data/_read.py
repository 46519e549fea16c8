"""Matrices and columns out of AnnData and MuData, checked, with errors that name the slot."""

from difflib import get_close_matches
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy import sparse

Matrix = sparse.csr_matrix | np.ndarray


def closest(name: str, known: list[str]) -> str:
    """Say which known name was probably meant, or list what there is."""
    matches = get_close_matches(str(name), [str(item) for item in known], n=1)
    if matches:
        return f"Did you mean {matches[0]!r}?"
    return f"There is: {', '.join(map(repr, known)) or 'nothing'}."


def slot_path(accessor: str, layer: str | None) -> str:
    """Accessor path of ``.X`` or a layer, for messages."""
    return f"{accessor}.X" if layer is None else f"{accessor}.layers[{layer!r}]"


def read_matrix(adata: AnnData, layer: str | None, accessor: str) -> Matrix:
    """Read ``.X`` or a layer into memory as CSR or a dense array, whatever it was stored as.

    Raises
    ------
    KeyError
        If there is no such layer.
    ValueError
        If the slot is empty, not numeric, or holds NaN or infinite values.
    """
    path = slot_path(accessor, layer)
    layers = [name for name in adata.layers if name is not None]
    if layer is not None and layer not in layers:
        raise KeyError(f"{path} does not exist. {closest(layer, layers)}")
    stored = adata.X if layer is None else adata.layers[layer]
    if stored is None:
        raise ValueError(f"{path} is empty; expected a matrix (cells x features). Name a layer with layer=...")
    if 0 in stored.shape:
        missing = "cells" if stored.shape[0] == 0 else "features"
        raise ValueError(f"{path} has no {missing} (shape {tuple(stored.shape)}). Drop this modality or fill it.")
    matrix = _in_memory(stored, path)
    check_finite(matrix, path)
    return matrix


def _in_memory(stored: Any, path: str) -> Matrix:
    if isinstance(stored, h5py.Dataset):
        stored = stored[:]
    elif not sparse.issparse(stored) and callable(getattr(stored, "to_memory", None)):
        stored = stored.to_memory()
    elif isinstance(stored, pd.DataFrame):
        stored = stored.to_numpy()
    if not sparse.issparse(stored) and not isinstance(stored, np.ndarray):
        raise ValueError(
            f"{path} is a {type(stored).__name__}; expected a numpy array or a scipy sparse matrix. "
            "Load it into memory first."
        )
    if stored.dtype.kind not in "fiub":
        raise ValueError(f"{path} has dtype {stored.dtype}; expected numbers.")
    if not sparse.issparse(stored):
        return np.asarray(stored)
    matrix = sparse.csr_matrix(stored)
    if not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sum_duplicates()
    return matrix


def stored_values(matrix: Matrix) -> np.ndarray:
    """Values that are stored: all of a dense array, the non-zeros of a sparse one."""
    return matrix.data if sparse.issparse(matrix) else matrix


def check_finite(matrix: Matrix, path: str) -> None:
    """Refuse NaN and infinite values."""
    values = stored_values(matrix)
    if values.dtype.kind != "f":
        return
    bad = ~np.isfinite(values)
    if bad.any():
        raise ValueError(
            f"{path} has {int(bad.sum())} NaN or infinite values; expected finite numbers. "
            "Remove or impute them before setup."
        )


def check_unique(names: pd.Index, path: str) -> None:
    """Refuse duplicate names."""
    repeated = names[names.duplicated()].unique()
    if len(repeated):
        shown = ", ".join(map(repr, repeated[:3]))
        raise ValueError(
            f"{path} has {len(repeated)} duplicate names (such as {shown}); expected unique names. "
            f"Call {path.removesuffix('_names')}_names_make_unique()."
        )


def row_of_cell(mdata: MuData, modality: str) -> np.ndarray:
    """Row of a modality that belongs to each cell of the MuData; -1 where the cell was not measured in it.

    Cells are matched by name, which is what ``mdata.obsmap`` records; the order within a modality is free.
    """
    adata = mdata.mod[modality]
    check_unique(adata.obs_names, f"mdata[{modality!r}].obs_names")
    rows = pd.Index(adata.obs_names).get_indexer(mdata.obs_names)
    if (rows >= 0).sum() != adata.n_obs:
        raise ValueError(
            f"mdata[{modality!r}] holds {adata.n_obs - int((rows >= 0).sum())} cells that mdata.obs lacks. "
            "Call mdata.update() after changing a modality."
        )
    return rows


def read_obs(mdata: MuData, key: str, modalities: list[str]) -> pd.Series | None:
    """Read a column from ``mdata.obs``, filled from the modalities' own ``.obs``; None if it is nowhere.

    Raises
    ------
    ValueError
        If two modalities disagree about a cell and ``mdata.obs`` does not decide.
    """
    present = [m for m in modalities if m in mdata.mod and key in mdata.mod[m].obs]
    if key not in mdata.obs and not present:
        return None
    start = mdata.obs[key].astype(object) if key in mdata.obs else pd.Series(np.nan, mdata.obs_names, object)
    decided = start.notna()
    column = start.where(decided, None)
    for modality in present:
        own = mdata.mod[modality].obs[key].astype(object).reindex(mdata.obs_names)
        both = ~decided & column.notna() & own.notna()
        if (column[both] != own[both]).any():
            cell = column.index[both][(column[both] != own[both]).to_numpy()][0]
            raise ValueError(
                f"mdata[{modality!r}].obs[{key!r}] contradicts another modality about cell {cell!r} "
                f"({own[cell]!r} against {column[cell]!r}). Decide in mdata.obs[{key!r}]."
            )
        column = column.where(column.notna(), own)
    return column


def obs_columns(mdata: MuData) -> list[str]:
    """Every column name of ``mdata.obs`` and of the modalities' ``.obs``."""
    columns = list(mdata.obs.columns)
    for adata in mdata.mod.values():
        columns += [name for name in adata.obs.columns if name not in columns]
    return [str(name) for name in columns]
