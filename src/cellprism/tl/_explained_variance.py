"""How much of the variance of all features together a prediction explains."""

from cellprism.tl._matrices import Matrix, as_dense, check_same_shape


def r2_score(true: Matrix, predicted: Matrix) -> float:
    r"""Coefficient of determination pooled over features.

    .. math:: 1 - \frac{\sum_{ij} (x_{ij} - \hat{x}_{ij})^2}{\sum_{ij} (x_{ij} - \bar{x}_j)^2}

    1 is perfect, 0 is as good as the mean of every feature over these cells. Features with more variance
    weigh more (``multioutput="variance_weighted"`` of :func:`sklearn.metrics.r2_score`).

    Parameters
    ----------
    true, predicted
        The same cells x features, on one scale.

    Returns
    -------
    Score, at most 1; NaN if no true feature varies.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> import numpy as np
    >>> r2_score(np.array([[0.0], [2.0]]), np.array([[1.0], [1.0]]))
    0.0
    """
    check_same_shape(true, predicted)
    true = as_dense(true)
    return _share_explained(true, true - as_dense(predicted))


def explained_variance(true: Matrix, predicted: Matrix) -> float:
    """Share of the variance explained, pooled over features, forgiving a constant offset of each feature.

    As :func:`r2_score`, but with every feature's mean error subtracted first.

    Parameters
    ----------
    true, predicted
        The same cells x features, on one scale.

    Returns
    -------
    Score, at most 1; NaN if no true feature varies.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> import numpy as np
    >>> explained_variance(np.array([[0.0], [2.0]]), np.array([[5.0], [7.0]]))
    1.0
    """
    check_same_shape(true, predicted)
    true = as_dense(true)
    errors = true - as_dense(predicted)
    return _share_explained(true, errors - errors.mean(axis=0))


def _share_explained(true, errors) -> float:
    total = ((true - true.mean(axis=0)) ** 2).sum()
    return float(1 - (errors**2).sum() / total) if total > 0 else float("nan")
