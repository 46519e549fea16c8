"""Linear prediction from components to components."""

import numpy as np
from jaxtyping import Float

from cellprism.tl._components import component_scores, fit_components
from cellprism.tl._matrices import Matrix, shaped_like


def ridge(
    source_training: Matrix,
    target_training: Matrix,
    source_held_out: Matrix,
    *,
    n_components: int = 30,
) -> Float[np.ndarray, "cells ..."]:
    """Predict the target's principal components from the source's by ridge regression, and project them back.

    The penalty is chosen among 13 from 0.001 to 1000 times the variance of the first source component by
    leave-one-out error on the training cells.

    Parameters
    ----------
    source_training, target_training
        The same training cells in both modalities.
    source_held_out
        Held-out cells in the source modality.
    n_components
        Components of each modality; fewer if a matrix has fewer.

    Returns
    -------
    Held-out cells x target features.

    Raises
    ------
    ValueError
        If the training matrices differ in their number of cells.
    """
    from sklearn.linear_model import RidgeCV

    check_training_pairs(source_training, target_training)
    source = fit_components(source_training, n_components)
    target = fit_components(target_training, n_components)
    penalties = source.explained_variance_[0] * np.logspace(-3, 3, 13)
    regression = RidgeCV(alphas=penalties)
    regression.fit(component_scores(source, source_training), component_scores(target, target_training))
    predicted = regression.predict(component_scores(source, source_held_out))
    rows = target.inverse_transform(predicted.reshape(source_held_out.shape[0], -1))
    return shaped_like(rows, target_training)


def check_training_pairs(source_training: Matrix, target_training: Matrix) -> None:
    """Raise unless both matrices can hold the same training cells."""
    if source_training.shape[0] != target_training.shape[0]:
        raise ValueError(
            f"Found {source_training.shape[0]} source and {target_training.shape[0]} target training cells, "
            "expected the same cells in both. Give only the cells measured in both, in one order."
        )
