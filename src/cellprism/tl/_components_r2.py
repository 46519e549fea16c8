"""Score of a prediction on the first components of the target."""

from cellprism.tl._components import component_scores, fit_components
from cellprism.tl._explained_variance import r2_score
from cellprism.tl._matrices import Matrix, check_same_shape


def components_r2(true: Matrix, predicted: Matrix, training: Matrix, n_components: int = 30) -> float:
    """Pooled R2 on the first principal components of the target, fitted on its training cells.

    Noise that no method can predict lies mostly outside these components.

    Parameters
    ----------
    true, predicted
        The same held-out cells x features, on one scale.
    training
        Target matrix of the training cells, on the same scale.
    n_components
        Number of components; fewer if the training matrix has fewer.

    Returns
    -------
    :func:`r2_score` of the components.

    Raises
    ------
    ValueError
        If shapes differ, or there are fewer than 2 training cells.

    Examples
    --------
    >>> import numpy as np
    >>> training = np.random.default_rng(0).normal(size=(20, 5))
    >>> components_r2(training[:7], training[:7], training, n_components=2)
    1.0
    """
    check_same_shape(true, predicted)
    return r2_on_components(fit_components(training, n_components), true, predicted)


def r2_on_components(components, true: Matrix, predicted: Matrix) -> float:
    """Pooled R2 on components that were fitted before, so that several predictions can share them."""
    return r2_score(component_scores(components, true), component_scores(components, predicted))
