"""The features of cells, and the latent block along which they are followed, from the slots of an AnnData."""

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import sparse

from cellprism.tl._matrices import Matrix

if TYPE_CHECKING:
    import anndata

Scale = Literal["log1p", "linear"]
"""Natural logarithm of 1 + x, or any other scale."""

SCALES = ("log1p", "linear")
_CELLS_TO_LOOK_AT = 1000


@dataclass(frozen=True)
class FeatureValues:
    """Cells x features, the features' names, and the scale they are on."""

    matrix: Matrix
    names: np.ndarray
    scale: str

    def of(self, rows: np.ndarray) -> Matrix:
        """Give the values of some cells."""
        return self.matrix[rows]


def feature_values(
    adata: "anndata.AnnData", *, layer: str | None, obsm: str | None, scale: Scale | None
) -> FeatureValues:
    """Read ``.X``, a layer, or a DataFrame of ``.obsm``.

    Raises
    ------
    KeyError
        If the slot is not found.
    ValueError
        If both a layer and an obsm key are given, the slot has no named columns of numbers, or negative values are said
        to be logarithms of 1 + x.

    Warns
    -----
    UserWarning
        If values that should be logarithms look like counts.
    """
    if layer is not None and obsm is not None:
        raise ValueError(f"Found layer={layer!r} and obsm={obsm!r}, expected one of them. Rank the two apart.")
    if scale not in (None, *SCALES):
        raise ValueError(f"Found scale={scale!r}, expected one of {SCALES}, or None for what suits the slot.")
    path, matrix, names = _table(adata, layer) if obsm is None else _frame(adata, obsm)
    scale = scale or ("log1p" if obsm is None else "linear")
    if scale == "log1p":
        _check_logarithms(matrix, path)
    return FeatureValues(matrix.tocsr() if sparse.issparse(matrix) else matrix, names, scale)


def _table(adata: "anndata.AnnData", layer: str | None) -> tuple[str, Matrix, np.ndarray]:
    path = ".X" if layer is None else f".layers[{layer!r}]"
    if layer is not None and layer not in adata.layers:
        raise KeyError(f"{layer!r} was not found in .layers, which has {list(adata.layers)}.")
    matrix = adata.X if layer is None else adata.layers[layer]
    if matrix is None:
        raise KeyError(f"Found no values in .X and obsm keys {list(adata.obsm)}. Pass layer=... or obsm=...")
    return path, matrix if sparse.issparse(matrix) else np.asarray(matrix), adata.var_names.to_numpy(dtype=object)


def _frame(adata: "anndata.AnnData", key: str) -> tuple[str, Matrix, np.ndarray]:
    if key not in adata.obsm:
        raise KeyError(f"{key!r} was not found in .obsm, which has {list(adata.obsm)}.")
    frame = adata.obsm[key]
    if not isinstance(frame, pd.DataFrame):
        raise ValueError(
            f"Found {type(frame).__name__} in .obsm[{key!r}], expected a DataFrame whose columns name the features, as "
            "pp.image_features writes. Wrap it: pd.DataFrame(values, index=adata.obs_names, columns=names)."
        )
    texts = [column for column in frame if not pd.api.types.is_numeric_dtype(frame[column])]
    if texts:
        raise ValueError(f"Found columns {texts} of .obsm[{key!r}] that hold no numbers, expected none. Drop them.")
    return f".obsm[{key!r}]", frame.to_numpy(dtype=np.float64), frame.columns.to_numpy(dtype=object).astype(str)


def _check_logarithms(matrix: Matrix, path: str) -> None:
    some = matrix[:_CELLS_TO_LOOK_AT]
    some = some.data if sparse.issparse(some) else some
    lowest = matrix.data.min(initial=0) if sparse.issparse(matrix) else np.min(matrix, initial=0)
    if lowest < 0:
        raise ValueError(
            f"{path} has negative values (min {lowest:.3g}), expected logarithms of 1 + x. Pass scale='linear' for "
            "values on another scale: effects are then differences in standard deviations."
        )
    if np.max(some, initial=0) > 1 and (some == np.round(some)).all():
        warnings.warn(
            f"{path} looks like raw counts (whole numbers up to {np.max(some):.0f}); expected logarithms of 1 + x. "
            "Differences in depth will pass for differences in features. Take tl.log_normalize(counts) first.",
            UserWarning,
            stacklevel=4,
        )


def block_values(adata: "anndata.AnnData", block: str | np.ndarray) -> Float[np.ndarray, "cells width"]:
    """Read a latent block from ``.obsm``, or take the array itself.

    Raises
    ------
    KeyError
        If the slot is not found.
    ValueError
        If there is not one row per cell, or fewer than 2 cells have finite values.
    """
    if isinstance(block, str) and block not in adata.obsm:
        raise KeyError(
            f"{block!r} was not found in .obsm, which has {list(adata.obsm)}. "
            "Write it with model.write(mdata), or pass an array (cells, width)."
        )
    path = f".obsm[{block!r}]" if isinstance(block, str) else "the block"
    values = np.asarray(adata.obsm[block] if isinstance(block, str) else block, dtype=np.float64)
    if values.ndim != 2 or len(values) != adata.n_obs:
        raise ValueError(f"Found shape {values.shape} in {path}, expected ({adata.n_obs}, width): one row per cell.")
    n_known = int(np.isfinite(values).all(axis=1).sum())
    if n_known < 2:
        raise ValueError(f"Found {n_known} cells with finite values in {path}, expected at least 2.")
    return values
