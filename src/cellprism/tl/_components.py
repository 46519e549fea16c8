"""Principal components fitted on training cells, from dense or sparse matrices."""

import numpy as np

from cellprism.tl._matrices import Matrix, flattened


def fit_components(training: Matrix, n_components: int):
    """Fit as many principal components as asked for, or as the matrix can give.

    Sparse matrices stay sparse. Returns a fitted :class:`sklearn.decomposition.PCA`.
    """
    from scipy import sparse
    from sklearn.decomposition import PCA

    if training.shape[0] < 2:
        raise ValueError(f"Found {training.shape[0]} training cells, expected at least 2.")
    training = flattened(training)
    available = min(training.shape[0] - 1, training.shape[1])
    if sparse.issparse(training) and n_components < min(training.shape):
        solver = PCA(min(n_components, available), svd_solver="arpack", random_state=0)
        return solver.fit(training.tocsr().astype(np.float64))
    training = training.toarray() if sparse.issparse(training) else training
    solver = PCA(min(n_components, available), random_state=0)
    return solver.fit(np.asarray(training, dtype=np.float64))


def component_scores(components, matrix: Matrix) -> np.ndarray:
    """Give the components of cells as cells x components."""
    from scipy import sparse

    matrix = matrix.tocsr() if sparse.issparse(matrix) else flattened(np.asarray(matrix))
    return np.asarray(components.transform(matrix.astype(np.float64)))
