"""Prediction by the most similar training cell."""

import numpy as np
from jaxtyping import Float

from cellprism.tl._matrices import Matrix, as_dense
from cellprism.tl.baselines._cca import fit_canonical_axes


def nearest_donor(
    source_training: Matrix,
    target_training: Matrix,
    source_held_out: Matrix,
    *,
    n_components: int = 30,
    n_canonical: int = 10,
) -> Float[np.ndarray, "cells ..."]:
    """Predict each cell to be the training cell whose target variates are nearest to its source variates.

    Variates are those of :func:`cca_embedding`.

    Parameters
    ----------
    source_training, target_training
        The same training cells in both modalities.
    source_held_out
        Held-out cells in the source modality.
    n_components
        Principal components of each modality; fewer if a matrix has fewer.
    n_canonical
        Canonical components in which the nearest cell is sought.

    Returns
    -------
    Held-out cells x target features: the donors' own values.

    Raises
    ------
    ValueError
        If the training matrices differ in their number of cells.
    """
    from sklearn.neighbors import NearestNeighbors

    axes = fit_canonical_axes(source_training, target_training, n_components, n_canonical)
    donors = NearestNeighbors(n_neighbors=1).fit(axes.target(target_training))
    nearest = donors.kneighbors(axes.source(source_held_out), return_distance=False).ravel()
    rows = target_training if isinstance(target_training, np.ndarray) else target_training.tocsr()
    return as_dense(rows[nearest])
