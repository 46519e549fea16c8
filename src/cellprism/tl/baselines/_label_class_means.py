"""Prediction from the label alone."""

import numpy as np
from jaxtyping import Float

from cellprism.tl._matrices import Labels, Matrix, shaped_like
from cellprism.tl.baselines._class_probabilities import class_probabilities, labelled_cells


def label_class_means(
    source_training: Matrix,
    source_labels: Labels,
    target_training: Matrix,
    target_labels: Labels,
    source_held_out: Matrix,
    *,
    n_components: int = 30,
) -> Float[np.ndarray, "cells ..."]:
    r"""Predict :math:`\sum_c p(c \mid x) \, \bar{y}_c`: class probabilities times the target's class means.

    Needs no pairs: the training cells of source and target may differ.

    Parameters
    ----------
    source_training, source_labels
        Training cells of the source modality with their labels, for :func:`class_probabilities`.
    target_training, target_labels
        Training cells of the target modality with their labels, for the class means.
    source_held_out
        Held-out cells in the source modality.
    n_components
        Principal components the class probabilities are fitted on.

    Returns
    -------
    Held-out cells x target features.

    Raises
    ------
    ValueError
        If labels do not fit the cells, there are fewer than two classes, or a source class has no target
        cell.
    """
    known, labels = labelled_cells(target_training, target_labels)
    names = np.where(known, labels, "").astype(str)
    fitted = class_probabilities(source_training, source_labels, source_held_out, n_components=n_components)
    means = [_class_mean(target_training, known & (names == name), str(name)) for name in fitted.classes]
    return shaped_like(fitted.held_out @ np.stack(means), target_training)


def _class_mean(target_training: Matrix, cells: np.ndarray, name: str) -> np.ndarray:
    if not cells.any():
        raise ValueError(
            f"Class {name!r} of the source has no training cell in the target, expected at least one. "
            "Leave its source cells unlabelled."
        )
    rows = target_training if isinstance(target_training, np.ndarray) else target_training.tocsr()
    return np.asarray(rows[cells].mean(axis=0), dtype=np.float64).ravel()
