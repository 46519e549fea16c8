"""Correlation of predicted with true values, feature by feature."""

import numpy as np
from jaxtyping import Float

from cellprism.tl._matrices import Matrix, as_dense, check_same_shape


def feature_correlation(true: Matrix, predicted: Matrix) -> Float[np.ndarray, " features"]:
    """Pearson correlation over cells of every feature; NaN where the feature is constant in either matrix.

    Parameters
    ----------
    true, predicted
        The same cells x features, on one scale.

    Returns
    -------
    One correlation per feature.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> import numpy as np
    >>> true = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])
    >>> feature_correlation(true, 2 * true + 1)
    array([ 1., nan])
    """
    check_same_shape(true, predicted)
    true, predicted = as_dense(true), as_dense(predicted)
    varies = (np.ptp(true, axis=0) > 0) & (np.ptp(predicted, axis=0) > 0)
    true, predicted = _unit(true[:, varies]), _unit(predicted[:, varies])
    correlation = np.full(varies.shape, np.nan)
    correlation[varies] = np.clip((true * predicted).sum(axis=0), -1, 1)
    return correlation


def _unit(values: np.ndarray) -> np.ndarray:
    """Centre every feature and scale it to length 1."""
    centred = values - values.mean(axis=0)
    return centred / np.linalg.norm(centred, axis=0)
