"""The same prediction for every cell."""

import numpy as np
from jaxtyping import Float

from cellprism.tl._matrices import Matrix, shaped_like


def mean_profile(target_training: Matrix, n_cells: int) -> Float[np.ndarray, "cells ..."]:
    """Predict every cell to be the mean of the training cells.

    Parameters
    ----------
    target_training
        Target matrix of the training cells.
    n_cells
        Number of held-out cells.

    Returns
    -------
    The mean profile, once per held-out cell.

    Examples
    --------
    >>> import numpy as np
    >>> mean_profile(np.array([[0.0, 2.0], [2.0, 2.0]]), 2)
    array([[1., 2.],
           [1., 2.]])
    """
    mean = np.asarray(target_training.mean(axis=0), dtype=np.float64).ravel()
    return shaped_like(np.tile(mean, (n_cells, 1)), target_training)
