"""How well one modality is predicted from another, beside what a model has to beat."""

from collections.abc import Callable

import pandas as pd

from cellprism import tl
from cellprism._keys import translated_layer
from cellprism.cli._comparison import MODEL, Comparison
from cellprism.cli._scale import Measured
from cellprism.data import Matrix


def translation_table(comparison: Comparison, source: str, target: str) -> pd.DataFrame:
    """Score the model's translation of held-out cells beside the baselines', and that of training cells."""
    x, y = (comparison.x, comparison.y) if source == comparison.first else (comparison.y, comparison.x)
    held_out, training = (comparison.pairs(cells) for cells in (comparison.cells.held_out, comparison.cells.training))
    layer = translated_layer(source)
    rows = [_translation_row(comparison, y, held_out, MODEL, "held out", y.predicted(held_out, layer))]
    for method, predict in _translations(comparison, x, y, held_out).items():
        rows.append(_translation_row(comparison, y, held_out, method, "held out", predict()))
    if len(training):
        rows.append(_translation_row(comparison, y, training, MODEL, "training cells", y.predicted(training, layer)))
    return pd.concat(rows)


def _translation_row(
    comparison: Comparison, y: Measured, cells: pd.Index, method: str, which: str, predicted: Matrix
) -> pd.DataFrame:
    """One row of the table, so that one prediction at a time is held in memory."""
    contrast = comparison.contrast
    groups = None if contrast is None else comparison.labels_of(cells)
    row = tl.translation_scores(y.measured(cells), {method: predicted}, groups=groups, contrast=contrast)
    row.index = pd.MultiIndex.from_tuples([(method, which)], names=["method", "cells"])
    names = {"feature_correlation": "correlation"}
    if contrast is not None:
        names["difference_correlation"] = f"difference {contrast[0]} - {contrast[1]}"
    return row[list(names)].rename(columns=names)


def _translations(
    comparison: Comparison, x: Measured, y: Measured, held_out: pd.Index
) -> dict[str, Callable[[], Matrix]]:
    """Give baselines that these data allow; each predicts when it is called."""
    in_source = x.cells.intersection(comparison.cells.training, sort=False)
    in_target = y.cells.intersection(comparison.cells.training, sort=False)
    pairs = comparison.pairs(comparison.cells.training)
    baselines = tl.baselines
    methods: dict[str, Callable[[], Matrix]] = {
        "mean profile": lambda: baselines.mean_profile(y.measured(in_target), len(held_out))
    }
    if comparison.has_training_pairs:
        methods["nearest donor in CCA space (pairs)"] = lambda: baselines.nearest_donor(
            x.telling(pairs), y.measured(pairs), x.telling(held_out)
        )
        methods["ridge (pairs)"] = lambda: baselines.ridge(x.telling(pairs), y.measured(pairs), x.telling(held_out))
    classes = comparison.classes_of(in_source)
    if len(classes) > 1 and classes <= comparison.classes_of(in_target):
        methods["label x class means (labels)"] = lambda: baselines.label_class_means(
            x.telling(in_source),
            comparison.labels_of(in_source),
            y.measured(in_target),
            comparison.labels_of(in_target),
            x.telling(held_out),
        )
    return methods
