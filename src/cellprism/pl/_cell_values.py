"""One value per cell, from a column of ``.obs`` or as given."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    import anndata
    import mudata


def cell_coordinates(data: "anndata.AnnData | mudata.MuData | np.ndarray", basis: str) -> np.ndarray:
    """Give the first two coordinates of every cell.

    Raises
    ------
    KeyError
        If ``basis`` is not found.
    ValueError
        If there are no two coordinates per cell.
    """
    if not isinstance(data, np.ndarray):
        if basis not in data.obsm:
            raise KeyError(f"{basis!r} was not found in .obsm, which has {list(data.obsm)}. Pass basis=...")
        data = np.asarray(data.obsm[basis])
    if data.ndim != 2 or data.shape[1] < 2:
        raise ValueError(f"Found coordinates of shape {data.shape}, expected cells x 2.")
    return data[:, :2]


def cell_values(
    data: "anndata.AnnData | mudata.MuData | np.ndarray", values: Any, n_cells: int, *, noun: str
) -> pd.Series | None:
    """Give one value per cell; a string is a column of ``.obs``, ``None`` stays ``None``.

    Raises
    ------
    KeyError
        If there is no such column.
    ValueError
        If there is not one value per cell; ``noun`` says what they are.
    """
    if values is None:
        return None
    if isinstance(values, str):
        if isinstance(data, np.ndarray) or values not in data.obs:
            known = [] if isinstance(data, np.ndarray) else list(data.obs.columns)
            raise KeyError(f"{values!r} was not found in .obs, which has {known}. Pass one value per cell instead.")
        values = data.obs[values]
    found = pd.Series(np.asarray(values, dtype=object)) if isinstance(values, list | tuple) else pd.Series(values)
    if len(found) != n_cells:
        raise ValueError(f"Found {len(found)} {noun} for {n_cells} cells, expected one per cell.")
    return found.infer_objects()


def is_continuous(values: pd.Series) -> bool:
    """Tell numbers from categories, text and booleans."""
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
