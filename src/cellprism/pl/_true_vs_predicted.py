"""True against predicted values of the best and the worst predicted feature."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from cellprism.pl._show import show_figure

if TYPE_CHECKING:
    import matplotlib.axes

Matrix = np.ndarray | sparse.spmatrix | sparse.sparray


def true_vs_predicted(
    true: Matrix,
    predicted: Matrix,
    *,
    feature_names: Sequence[str] | np.ndarray | pd.Index,
    features: Sequence[str] | None = None,
    ax: "Sequence[matplotlib.axes.Axes] | np.ndarray | None" = None,
    show: bool | None = None,
) -> np.ndarray:
    """Scatter predicted against true values, for the best and the worst feature or for chosen ones.

    The dashed line is a perfect prediction, the solid one a least-squares fit; the title gives Pearson's r.

    Parameters
    ----------
    true, predicted
        The same cells x features, on one scale.
    feature_names
        One name per feature.
    features
        Names of the features to draw. By default the one with the highest and the one with the lowest
        correlation among those that vary in both matrices.
    ax
        One axes per feature to draw into. A new figure by default.
    show
        Call ``plt.show()``. By default only for a new figure in an interactive session.

    Returns
    -------
    Array of the axes, one per feature.

    Raises
    ------
    ValueError
        If shapes, names or axes do not fit, or no feature varies in both matrices.

    Examples
    --------
    >>> import numpy as np
    >>> true = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]])
    >>> predicted = np.array([[0.0, 1.0], [1.0, 2.0], [2.0, 0.0]])
    >>> axes = true_vs_predicted(true, predicted, feature_names=["LYST", "PBX1"], show=False)
    >>> [panel.get_title() for panel in axes]
    ['LYST (best), r = 1.00', 'PBX1 (worst), r = -1.00']
    """
    names = pd.Index(feature_names)
    if true.shape != predicted.shape or true.shape[1] != len(names):
        raise ValueError(
            f"Found true values of shape {true.shape}, predicted values of shape {predicted.shape} and "
            f"{len(names)} feature names, expected the same cells x features in both, one name per feature."
        )
    columns = _best_and_worst(true, predicted) if features is None else _chosen(names, features)
    own_figure = ax is None
    panels = _new_panels(len(columns)) if own_figure else np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
    if len(panels) != len(columns):
        raise ValueError(f"Found {len(panels)} axes for {len(columns)} features, expected one per feature.")
    for panel, (column, rank) in zip(panels, columns, strict=True):
        _draw(panel, _column(true, column), _column(predicted, column), f"{names[column]}{rank}")
    show_figure(show, own_figure=own_figure)
    return panels


def _column(matrix: Matrix, column: int) -> np.ndarray:
    values = matrix[:, [column]]
    return np.asarray(values.toarray() if sparse.issparse(values) else values, dtype=np.float64).ravel()


def _correlation(true: np.ndarray, predicted: np.ndarray) -> float:
    if np.ptp(true) == 0 or np.ptp(predicted) == 0:
        return float("nan")
    return float(np.corrcoef(true, predicted)[0, 1])


def _best_and_worst(true: Matrix, predicted: Matrix) -> list[tuple[int, str]]:
    true = true.tocsc() if sparse.issparse(true) else true
    predicted = predicted.tocsc() if sparse.issparse(predicted) else predicted
    correlations = np.array([_correlation(_column(true, j), _column(predicted, j)) for j in range(true.shape[1])])
    if np.isnan(correlations).all():
        raise ValueError("No feature varies in both the true and the predicted values. Pass features=... to draw some.")
    return [(int(np.nanargmax(correlations)), " (best)"), (int(np.nanargmin(correlations)), " (worst)")]


def _chosen(names: pd.Index, features: Sequence[str]) -> list[tuple[int, str]]:
    unknown = [name for name in features if name not in names]
    if unknown:
        raise ValueError(f"Features {unknown} are not among the {len(names)} feature_names.")
    return [(names.get_loc(name), "") for name in features]


def _new_panels(n_features: int) -> np.ndarray:
    import matplotlib.pyplot as plt

    _, panels = plt.subplots(1, n_features, figsize=(3.8 * n_features, 3.6), squeeze=False, layout="constrained")
    return panels.ravel()


def _draw(panel: "matplotlib.axes.Axes", true: np.ndarray, predicted: np.ndarray, name: str) -> None:
    correlation = _correlation(true, predicted)
    panel.scatter(true, predicted, s=8, alpha=0.4, color="#1f77b4", linewidths=0)
    ends = np.array([min(true.min(), predicted.min()), max(true.max(), predicted.max())])
    panel.plot(ends, ends, ls="--", lw=1, color="0.4", label="perfect")
    if not np.isnan(correlation):
        slope = correlation * predicted.std() / true.std()
        span = np.array([true.min(), true.max()])
        panel.plot(span, predicted.mean() + slope * (span - true.mean()), lw=1.3, color="#d95f02", label="fit")
    panel.set(title=f"{name}, r = {correlation:.2f}", xlabel="true", ylabel="predicted")
    panel.title.set_fontsize("medium")
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False, fontsize="small")
