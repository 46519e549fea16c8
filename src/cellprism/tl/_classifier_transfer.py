"""Whether a classifier trained on real data tells classes apart in translated data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from cellprism.tl._matrices import Labels, Matrix, flattened
from cellprism.tl._pixels import as_pixels, check_same_scale

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

_REAL = "real"
"""Name of the held-out real cells among the methods."""

_CURVES = ["method", "class", "false_positive_rate", "true_positive_rate"]


class ClassifierTransfer(NamedTuple):
    """How well classes are told apart in real and in translated cells.

    ``scores`` has a row ``real`` and one per method; its columns are ``balanced_accuracy``, ``auc`` (mean over
    classes) and ``auc <class>``. ``curves`` has a row per point of a ROC curve: ``method``, ``class``,
    ``false_positive_rate``, ``true_positive_rate``.
    """

    scores: pd.DataFrame
    curves: pd.DataFrame


def classifier_transfer(
    training: Matrix,
    training_labels: Labels,
    held_out: Matrix,
    held_out_labels: Labels,
    translated: Mapping[str, Matrix],
    *,
    translated_labels: Labels | None = None,
    classifier: "ClassifierMixin | None" = None,
    features: "Callable[[np.ndarray], pd.DataFrame | np.ndarray] | None" = None,
) -> ClassifierTransfer:
    """Train a classifier on real cells of a modality, and apply it to real held-out and to translated cells.

    Classes that the classifier tells apart in real cells but not in translated ones were lost in translation.
    Cells whose label is missing are left out.

    Parameters
    ----------
    training, training_labels
        Real training cells of the target modality, cells x features or images, with one label per cell.
    held_out, held_out_labels
        Real held-out cells of the same modality, to compare with.
    translated
        Method to cells translated to this modality, on the scale of ``training``. Integer images are read as
        shares of their type's range.
    translated_labels
        One label per translated cell. By default the translated cells are the held-out ones, in their order.
    classifier
        Scikit-learn classifier that gives probabilities; a copy is fitted. By default a random forest of 100 trees
        of depth 2.
    features
        Measures images, as :func:`cellprism.pp.image_features` does: images to a table of cells x features, which
        the classifier then sees. By default it sees the pixels.

    Returns
    -------
    Scores and ROC curves, each class against the rest.

    - ``balanced_accuracy``: share of cells given their own class, mean over the classes there are. A shallow forest
      is reluctant to predict rare classes: compare with the row ``real``.
    - ``auc <class>``: area under the ROC curve by the probability of the class; NaN where the scored cells are all
      or none of the class. ``auc``: mean of those that are not NaN.

    Raises
    ------
    ValueError
        If numbers of labels or features do not fit, there are fewer than two classes, scored cells have a class
        that no training cell has, or a method is called ``real``.

    References
    ----------
    The test of translations by classifiers, and the default forest, of :cite:p:`yang2021`.

    Examples
    --------
    >>> import numpy as np
    >>> labels = np.array(["G1", "S"] * 10)
    >>> real = np.where(labels == "S", 1.0, 0.0)[:, None] + np.linspace(0, 0.1, 20)[:, None]
    >>> transfer = classifier_transfer(real, labels, real, labels, {"model": real, "mean": 0 * real})
    >>> transfer.scores["auc"].to_dict()
    {'real': 1.0, 'model': 1.0, 'mean': 0.5}
    """
    from sklearn.base import clone
    from sklearn.ensemble import RandomForestClassifier

    if _REAL in translated:
        raise ValueError(f"Found a method called {_REAL!r}, which names the held-out cells. Call it something else.")
    cells = {_REAL: held_out, **translated}
    labels = dict.fromkeys(cells, held_out_labels if translated_labels is None else translated_labels)
    labels[_REAL] = held_out_labels
    chosen = RandomForestClassifier(100, max_depth=2, random_state=0) if classifier is None else clone(classifier)
    fitted = chosen.fit(*_training_cells(training, training_labels, features))
    tested = {}
    for method in cells:
        _check_fits(method, cells[method], training)
        tested[method] = _test(fitted, method, *_labelled(method, cells[method], labels[method], features))
    scores = {method: test.scores() for method, test in tested.items()}
    return ClassifierTransfer(
        pd.DataFrame.from_dict(scores, orient="index").rename_axis("method"),
        pd.concat([test.curves(method) for method, test in tested.items()], ignore_index=True),
    )


@dataclass(frozen=True)
class _Tested:
    """What a classifier says of labelled cells: predicted classes and probabilities, cells x classes."""

    labels: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray
    classes: np.ndarray

    def scores(self) -> dict[str, float]:
        """Give balanced accuracy and the AUC of each class."""
        from sklearn.metrics import roc_auc_score

        present = np.unique(self.labels)
        recalls = [np.mean(self.predicted[self.labels == name] == name) for name in present]
        areas = {
            f"auc {name}": float(roc_auc_score(self.labels == name, column)) if self._has_others(name) else np.nan
            for name, column in zip(self.classes, self.probabilities.T, strict=True)
        }
        known = [area for area in areas.values() if not np.isnan(area)]
        mean = float(np.mean(known)) if known else np.nan
        return {"balanced_accuracy": float(np.mean(recalls)), "auc": mean, **areas}

    def curves(self, method: str) -> pd.DataFrame:
        """Give the points of the ROC curves of all classes that have one."""
        from sklearn.metrics import roc_curve

        points = []
        for name, column in zip(self.classes, self.probabilities.T, strict=True):
            if self._has_others(name):
                false, true, _ = roc_curve(self.labels == name, column)
                curve = {"false_positive_rate": false, "true_positive_rate": true}
                points.append(pd.DataFrame({"method": method, "class": str(name), **curve}))
        return pd.concat(points) if points else pd.DataFrame(columns=_CURVES)

    def _has_others(self, name: str) -> bool:
        """Tell whether some, but not all, of the cells are of the class."""
        return len(np.unique(self.labels == name)) == 2


def _test(fitted: "ClassifierMixin", method: str, rows: Matrix, labels: np.ndarray) -> _Tested:
    unknown = sorted(set(labels.tolist()) - set(fitted.classes_.tolist()))
    if unknown:
        raise ValueError(
            f"Found cells of {method!r} with labels {unknown}, expected those of the training cells: "
            f"{fitted.classes_.tolist()}. Set their label to None to leave them out."
        )
    return _Tested(labels, fitted.predict(rows), fitted.predict_proba(rows), fitted.classes_)


def _training_cells(training: Matrix, labels: Labels, features: Callable | None) -> tuple[Matrix, np.ndarray]:
    rows, classes = _labelled("training", training, labels, features)
    if len(set(classes)) < 2:
        raise ValueError(
            f"Found classes {sorted(set(classes.tolist()))} among the training labels, expected two or more."
        )
    return rows, classes


def _labelled(noun: str, matrix: Matrix, labels: Labels, features: Callable | None) -> tuple[Matrix, np.ndarray]:
    """Give what the classifier sees of the cells that have a label, and their labels as text."""
    labels = np.asarray(labels, dtype=object)
    if len(labels) != matrix.shape[0]:
        raise ValueError(f"Found {len(labels)} labels for {matrix.shape[0]} cells of {noun!r}, expected one per cell.")
    known = ~pd.isna(labels)
    if not known.any():
        raise ValueError(f"Found no labelled cell among {len(labels)} of {noun!r}, expected at least one.")
    cells = (matrix if isinstance(matrix, np.ndarray) else matrix.tocsr())[known]
    cells = as_pixels(cells) if cells.ndim == 4 else cells
    rows = flattened(cells) if features is None else np.asarray(features(cells))
    return rows, labels[known].astype(str)


def _check_fits(method: str, cells: Matrix, training: Matrix) -> None:
    """Raise unless cells have the features, or pixels, and the scale of the training cells."""
    if cells.shape[1:] != training.shape[1:]:
        raise ValueError(
            f"Found cells of {method!r} of shape {cells.shape[1:]} and training cells of {training.shape[1:]}, "
            "expected the same features in the same order."
        )
    if len(training.shape) == 4:
        check_same_scale(training, cells)
