"""Counts on the scale on which true and predicted expression are compared."""

import numpy as np
from scipy import sparse

from cellprism.tl._matrices import Matrix


def log_normalize(counts: Matrix, *, target_sum: float | None = None) -> Matrix:
    r"""Divide every cell by its size and take logarithms.

    .. math:: \log\left(1 + t \, \frac{x_{ij}}{\sum_j x_{ij}}\right)

    A cell without counts stays at zero. To compare truth with predictions, give both the same ``target_sum``.

    Parameters
    ----------
    counts
        Non-negative counts or expected counts, cells x features. Left as it is.
    target_sum
        Sum :math:`t` of every cell before the logarithm. By default the median over the cells that have
        counts.

    Returns
    -------
    Matrix of the same shape: CSR for sparse input, dense for dense; float64 if the input is, else float32.

    Raises
    ------
    ValueError
        If a value is negative, NaN or infinite.

    Examples
    --------
    >>> import numpy as np
    >>> log_normalize(np.array([[1.0, 3.0], [0.0, 0.0]]), target_sum=4.0).round(2)
    array([[0.69, 1.39],
           [0.  , 0.  ]])
    """
    precision = np.float64 if counts.dtype == np.float64 else np.float32
    if sparse.issparse(counts):
        normalized = counts.tocsr().astype(precision, copy=True)
        values = normalized.data
    else:
        normalized = values = np.array(counts, dtype=precision)
    _check_counts(values)
    totals = np.asarray(normalized.sum(axis=1), dtype=np.float64).ravel()
    scale = _scale(totals, target_sum).astype(precision)
    values *= np.repeat(scale, np.diff(normalized.indptr)) if sparse.issparse(counts) else scale[:, None]
    np.log1p(values, out=values)
    return normalized


def _scale(totals: np.ndarray, target_sum: float | None) -> np.ndarray:
    """Factor per cell that brings its total to the target; 1 for cells without counts."""
    positive = totals > 0
    if not positive.any():
        return np.ones_like(totals)
    target = np.median(totals[positive]) if target_sum is None else target_sum
    return np.divide(target, totals, out=np.ones_like(totals), where=positive)


def _check_counts(values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        raise ValueError("Found NaN or infinite values, expected counts. Replace them before normalising.")
    if values.size and values.min() < 0:
        raise ValueError(
            f"Found negative values (min {values.min():.3g}), expected counts. "
            "Values that were already transformed need no normalisation."
        )
