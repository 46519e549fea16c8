"""ROC curves of classes, in real and in translated cells."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.integrate import trapezoid

from cellprism.pl._category_colours import category_colours
from cellprism.pl._show import show_figure

if TYPE_CHECKING:
    import matplotlib.axes

_REAL = "real"
_INSIDE = 8
"""With more classes than this, the legend stands beside the curves."""
_COLUMNS = ["method", "class", "false_positive_rate", "true_positive_rate"]


def roc(
    curves: pd.DataFrame,
    *,
    cmap: Any = None,
    ax: "Sequence[matplotlib.axes.Axes] | np.ndarray | matplotlib.axes.Axes | None" = None,
    show: bool | None = None,
) -> np.ndarray:
    """Draw how well each class is told from the rest, in translated cells (solid) and in real ones (dashed).

    Parameters
    ----------
    curves
        Points of ROC curves, as ``curves`` of :func:`cellprism.tl.classifier_transfer`: columns ``method``,
        ``class``, ``false_positive_rate`` and ``true_positive_rate``. The method ``real`` is drawn in the panel of
        every other one.
    cmap
        Colour map of the classes. By default tab10 or tab20.
    ax
        One axes per translated method to draw into. A new figure by default.
    show
        Call ``plt.show()``. By default only for a new figure in an interactive session.

    Returns
    -------
    Array of the axes, one per translated method.

    Raises
    ------
    ValueError
        If there is no curve, a column is missing, or the number of axes does not fit.

    Examples
    --------
    >>> import pandas as pd
    >>> points = {"class": "S", "false_positive_rate": [0.0, 0.0, 1.0], "true_positive_rate": [0.0, 0.5, 1.0]}
    >>> panels = roc(pd.DataFrame({"method": "model", **points}), show=False)
    >>> [text.get_text() for text in panels[0].get_legend().get_texts()]
    ['S 0.75']
    """
    _check(curves)
    methods = [name for name in curves["method"].unique() if name != _REAL] or [_REAL]
    classes = curves["class"].unique()
    colours = dict(zip(classes, category_colours(len(classes), cmap), strict=True))
    own_figure = ax is None
    panels = _new_panels(len(methods)) if own_figure else np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
    if len(panels) != len(methods):
        raise ValueError(f"Found {len(panels)} axes for {len(methods)} methods: {methods}. Give one per method.")
    of_method = dict(list(curves.groupby("method", sort=False)))
    for panel, method in zip(panels, methods, strict=True):
        reference = of_method.get(_REAL) if method != _REAL else None
        _draw(panel, of_method[method], reference, colours)
        panel.set_title(method, fontsize="medium")
    show_figure(show, own_figure=own_figure)
    return panels


def _check(curves: pd.DataFrame) -> None:
    missing = [name for name in _COLUMNS if name not in curves]
    if missing or curves.empty:
        raise ValueError(
            f"Found {len(curves)} points with columns {list(curves)}, expected at least one with {_COLUMNS}. "
            "Give .curves of tl.classifier_transfer."
        )


def _new_panels(n_methods: int) -> np.ndarray:
    import matplotlib.pyplot as plt

    _, panels = plt.subplots(1, n_methods, figsize=(4 * n_methods, 4), squeeze=False, layout="constrained")
    return panels.ravel()


def _draw(
    panel: "matplotlib.axes.Axes", curves: pd.DataFrame, real: pd.DataFrame | None, colours: dict[Any, np.ndarray]
) -> None:
    """Draw the curves of one method, each with the area under it, beside those of real cells."""
    panel.plot([0, 1], [0, 1], color="0.8", lw=1)
    areas_of_real = {} if real is None else {name: _area(curve) for name, curve in real.groupby("class")}
    if real is not None:
        for name, curve in real.groupby("class", sort=False):
            panel.plot(*_points(curve), color=colours[name], lw=1, ls="--")
    for name, curve in curves.groupby("class", sort=False):
        in_real = f" (real {areas_of_real[name]:.2f})" if name in areas_of_real else ""
        panel.plot(*_points(curve), color=colours[name], lw=1.6, label=f"{name} {_area(curve):.2f}{in_real}")
    panel.set(xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
    panel.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    panel.spines[["top", "right"]].set_visible(False)
    place = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)} if len(colours) > _INSIDE else {"loc": "lower right"}
    title = "AUC" if real is None else "AUC (real dashed)"
    panel.legend(frameon=False, fontsize="small", title=title, title_fontsize="small", **place)


def _points(curve: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return curve["false_positive_rate"].to_numpy(float), curve["true_positive_rate"].to_numpy(float)


def _area(curve: pd.DataFrame) -> float:
    false, true = _points(curve)
    return float(trapezoid(true, false))
