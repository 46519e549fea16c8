"""One table of how well several methods predict the same held-out cells."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cellprism.tl._components import fit_components
from cellprism.tl._components_r2 import r2_on_components
from cellprism.tl._difference_correlation import difference_correlation
from cellprism.tl._explained_variance import r2_score
from cellprism.tl._feature_correlation import feature_correlation
from cellprism.tl._matrices import Labels, Matrix, as_dense


def translation_scores(
    true: Matrix,
    predictions: Mapping[str, Matrix],
    *,
    training: Matrix | None = None,
    groups: Labels | None = None,
    contrast: tuple | None = None,
    n_components: int = 30,
) -> pd.DataFrame:
    """Score several predictions of the same held-out cells, one row per method.

    Parameters
    ----------
    true
        Held-out cells x features, transformed (for counts see :func:`log_normalize`).
    predictions
        Method to its prediction of ``true``, on the same scale.
    training
        Target matrix of the training cells, on the same scale. Adds the column ``components_r2``.
    groups
        One group per held-out cell. With ``contrast`` adds the column ``difference_correlation``.
    contrast
        The two groups that are compared: ``(group, reference)``.
    n_components
        Number of components for ``components_r2``.

    Returns
    -------
    DataFrame indexed by ``method``.

    - ``feature_correlation``: mean of :func:`feature_correlation` over the features that vary among the true
      cells. A feature that is predicted to be constant counts as 0: it says nothing about which cell is
      which.
    - ``r2``: :func:`r2_score`.
    - ``components_r2``: :func:`components_r2`.
    - ``difference_correlation``: :func:`difference_correlation`.

    Raises
    ------
    ValueError
        If shapes differ, or only one of ``groups`` and ``contrast`` is given.

    Examples
    --------
    >>> import numpy as np
    >>> true = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]])
    >>> scores = translation_scores(true, {"truth": true, "mean": np.ones((3, 2))})
    >>> scores["r2"].to_dict()
    {'truth': 1.0, 'mean': 0.0}
    """
    if (groups is None) != (contrast is None):
        raise ValueError("Give both groups and contrast=(group, reference), or neither.")
    dense = as_dense(true)
    components = None if training is None else fit_components(training, n_components)
    rows = {}
    for method, predicted in predictions.items():
        row = {"feature_correlation": _mean_correlation(dense, predicted), "r2": r2_score(dense, predicted)}
        if components is not None:
            row["components_r2"] = r2_on_components(components, dense, predicted)
        if groups is not None:
            group, reference = contrast
            row["difference_correlation"] = difference_correlation(
                dense, predicted, groups, group=group, reference=reference
            )
        rows[method] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")


def _mean_correlation(true: np.ndarray, predicted: Matrix) -> float:
    correlation = feature_correlation(true, predicted)[np.ptp(true, axis=0) > 0]
    return float(np.nan_to_num(correlation).mean()) if correlation.size else float("nan")
