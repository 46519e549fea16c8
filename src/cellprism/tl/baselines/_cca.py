"""Canonical correlation analysis in closed form, on principal components."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from cellprism.tl._components import component_scores, fit_components
from cellprism.tl._matrices import Matrix
from cellprism.tl.baselines._ridge import check_training_pairs


class CCAEmbedding(NamedTuple):
    """Canonical variates of both modalities, cells x variates, of unit variance on the training cells."""

    source_training: np.ndarray
    target_training: np.ndarray
    source_held_out: np.ndarray
    target_held_out: np.ndarray


def cca_embedding(
    source_training: Matrix,
    target_training: Matrix,
    source_held_out: Matrix,
    target_held_out: Matrix,
    *,
    n_components: int = 30,
    n_canonical: int = 10,
) -> CCAEmbedding:
    r"""Embed two modalities by canonical correlation analysis of their principal components.

    With whitened components :math:`W_x, W_y` of the training cells and
    :math:`W_x^\top W_y / (n - 1) = U S V^\top`, the variates are :math:`W_x U` and :math:`W_y V`; :math:`S`
    holds the canonical correlations.

    Parameters
    ----------
    source_training, target_training
        The same training cells in both modalities.
    source_held_out, target_held_out
        Held-out cells in each modality, not necessarily the same.
    n_components
        Principal components of each modality; fewer if a matrix has fewer.
    n_canonical
        Canonical components to keep; at most the number of principal components.

    Returns
    -------
    The variates of training and held-out cells in both modalities.

    Raises
    ------
    ValueError
        If the training matrices differ in their number of cells.
    """
    axes = fit_canonical_axes(source_training, target_training, n_components, n_canonical)
    return CCAEmbedding(
        axes.source(source_training),
        axes.target(target_training),
        axes.source(source_held_out),
        axes.target(target_held_out),
    )


@dataclass(frozen=True)
class _Axes:
    """Components of one modality, and the rotation of whitened components onto canonical variates."""

    components: object
    rotation: np.ndarray

    def __call__(self, matrix: Matrix) -> np.ndarray:
        return _whitened(self.components, matrix) @ self.rotation


@dataclass(frozen=True)
class CanonicalAxes:
    """Both modalities' maps onto canonical variates, and the canonical correlations."""

    source: _Axes
    target: _Axes
    correlations: Float[np.ndarray, " canonical"]


def fit_canonical_axes(
    source_training: Matrix, target_training: Matrix, n_components: int, n_canonical: int
) -> CanonicalAxes:
    """Fit the canonical axes of two modalities on the training cells they share."""
    check_training_pairs(source_training, target_training)
    source = fit_components(source_training, n_components)
    target = fit_components(target_training, n_components)
    n_cells = source_training.shape[0]
    cross = _whitened(source, source_training).T @ _whitened(target, target_training) / (n_cells - 1)
    left, correlations, right = np.linalg.svd(cross, full_matrices=False)
    return CanonicalAxes(
        _Axes(source, left[:, :n_canonical]),
        _Axes(target, right.T[:, :n_canonical]),
        correlations[:n_canonical],
    )


def _whitened(components, matrix: Matrix) -> np.ndarray:
    """Give components of unit variance; a component without variance is zero."""
    variance = components.explained_variance_
    used = variance > variance[0] * 1e-10
    scale = np.where(used, 1 / np.sqrt(np.where(used, variance, 1)), 0)
    return component_scores(components, matrix) * scale
