"""Class probabilities of a logistic regression, as an embedding that needs no pairs."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from cellprism.tl._components import component_scores, fit_components
from cellprism.tl._matrices import Labels, Matrix


class ClassProbabilities(NamedTuple):
    """Probabilities of training and held-out cells, cells x classes, and the classes in their order."""

    training: np.ndarray
    held_out: np.ndarray
    classes: np.ndarray


def class_probabilities(
    training: Matrix,
    labels: Labels,
    held_out: Matrix,
    *,
    n_components: int = 30,
) -> ClassProbabilities:
    """Fit a logistic regression of the label in one modality and give its class probabilities.

    Done in two modalities with the same classes, the probabilities are a shared embedding fitted without
    pairs.

    Parameters
    ----------
    training
        Training cells of one modality.
    labels
        One label per training cell. Cells with a missing label get probabilities but are not fitted.
    held_out
        Held-out cells of the same modality.
    n_components
        Principal components the regression sees, each scaled to unit variance; fewer if the matrix has fewer.

    Returns
    -------
    Probabilities of training and held-out cells, and the sorted classes, as text.

    Raises
    ------
    ValueError
        If the number of labels is not the number of training cells, or there are fewer than two classes.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    known, classes = labelled_cells(training, labels)
    components = fit_components(training, n_components)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
    classifier.fit(component_scores(components, training)[known], classes[known].astype(str))
    return ClassProbabilities(
        classifier.predict_proba(component_scores(components, training)),
        classifier.predict_proba(component_scores(components, held_out)),
        classifier.classes_,
    )


def labelled_cells(training: Matrix, labels: Labels) -> tuple[np.ndarray, np.ndarray]:
    """Give which training cells have a label, and the labels as an object array, after checking them."""
    labels = np.asarray(labels, dtype=object)
    if len(labels) != training.shape[0]:
        raise ValueError(f"Found {len(labels)} labels for {training.shape[0]} training cells, expected one per cell.")
    known = ~pd.isna(labels)
    n_classes = len(set(labels[known].astype(str)))
    if n_classes < 2:
        raise ValueError(f"Found {n_classes} classes among the labels, expected at least two.")
    return known, labels
