"""The kinds of array that the scores take, and the checks they share."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import sparse

Matrix = np.ndarray | sparse.spmatrix | sparse.sparray
"""Cells x features, dense or sparse; for images, dense cells x channels x height x width."""

Labels = np.ndarray | pd.Series | pd.Categorical | Sequence
"""One label per cell; missing where unknown."""


def flattened(matrix: Matrix) -> Matrix:
    """Give one row per cell: images (cells, channels, height, width) become cells x pixels."""
    return matrix.reshape(len(matrix), -1) if isinstance(matrix, np.ndarray) else matrix


def shaped_like(predicted: np.ndarray, target: Matrix) -> np.ndarray:
    """Give rows of a prediction the shape of the target's cells."""
    return predicted.reshape(len(predicted), *target.shape[1:])


def as_dense(matrix: Matrix) -> np.ndarray:
    """Give cells x features, or images, as a dense float64 array."""
    return np.asarray(matrix.toarray() if sparse.issparse(matrix) else matrix, dtype=np.float64)


def check_same_shape(true: Matrix, predicted: Matrix) -> None:
    """Raise unless both matrices hold the same cells and features."""
    if true.shape != predicted.shape:
        raise ValueError(
            f"Found true values of shape {true.shape} and predicted values of shape {predicted.shape}, "
            "expected the same cells x features in both. Give both the cells and features in the same order."
        )


def check_partners(x: np.ndarray, y: np.ndarray) -> None:
    """Raise unless row i of both embeddings can be the same cell."""
    if x.ndim != 2 or x.shape != y.shape or len(x) < 2:
        raise ValueError(
            f"Found embeddings of shape {x.shape} and {y.shape}, expected two of the same (cells, width) "
            "with at least 2 cells. Give only the cells that both hold, in one order: row i is the same cell."
        )
    for name, embedding in (("first", x), ("second", y)):
        if not np.isfinite(embedding).all():
            raise ValueError(
                f"The {name} embedding has NaN or infinite values, expected finite ones. "
                "Drop the cells that have no embedding from both."
            )
