"""Which block of a latent space carries which covariate."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cellprism.pl._category_colours import category_colours
from cellprism.pl._show import show_figure

if TYPE_CHECKING:
    import matplotlib.axes

_COLUMNS = ["block", "target", "metric", "score", "lower", "upper", "null_mean", "null_upper"]
_METRICS = {"auroc": ("AUROC", 0.5), "r2": ("$R^2$", 0.0)}
"""Metric to how it is written, and what chance gives."""

_NULL = "0.8"
_SPREAD = 0.7
"""Height taken by the blocks of one target, where targets are 1 apart."""


def blocks(
    scores: pd.DataFrame,
    *,
    cmap: Any = None,
    ax: "Sequence[matplotlib.axes.Axes] | np.ndarray | matplotlib.axes.Axes | None" = None,
    show: bool | None = None,
) -> np.ndarray:
    """Draw how well each block predicts each covariate: a row per covariate, a colour per block, a panel per metric.

    Points are scores with their 95 % intervals, hollow where the score is within the null. Grey bars reach from
    the mean to the 95 % quantile of the null, the grey line is chance.

    Parameters
    ----------
    scores
        Scores of :func:`cellprism.tl.probe`: columns ``block``, ``target``, ``metric``, ``score``, ``lower``,
        ``upper``, ``null_mean`` and ``null_upper``. Blocks and covariates keep their order, the first on top.
    cmap
        Colour map of the blocks. By default tab10 or tab20.
    ax
        One axes per metric to draw into. A new figure by default.
    show
        Call ``plt.show()``. By default only for a new figure in an interactive session.

    Returns
    -------
    Array of the axes, one per metric, in the order of the scores.

    Raises
    ------
    ValueError
        If there is no score, a column is missing, a block has two scores for a covariate, or the number of axes does
        not fit.

    Examples
    --------
    >>> import pandas as pd
    >>> interval = {"lower": [0.8, 0.4], "upper": [1.0, 0.6], "null_mean": 0.5, "null_upper": 0.6}
    >>> scores = pd.DataFrame({"block": ["shared", "rna"], "score": [0.9, 0.5], **interval})
    >>> panels = blocks(scores.assign(target="cell type", metric="auroc"), show=False)
    >>> [text.get_text() for text in panels[0].get_legend().get_texts()]
    ['shared', 'rna', 'null, mean to 95 %']
    """
    _check(scores)
    names = list(scores["block"].unique())
    colours = dict(zip(names, category_colours(len(names), cmap), strict=True))
    by_metric = dict(list(scores.groupby("metric", sort=False)))
    own_figure = ax is None
    panels = _new_panels(by_metric, len(names)) if own_figure else np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
    if len(panels) != len(by_metric):
        raise ValueError(
            f"Found {len(panels)} axes for {len(by_metric)} metrics: {list(by_metric)}. Give one per metric."
        )
    for panel, (metric, of_metric) in zip(panels, by_metric.items(), strict=True):
        _draw(panel, of_metric, colours)
        label, chance = _METRICS.get(metric, (metric, None))
        if chance is not None:
            panel.axvline(chance, color="0.6", lw=0.8, zorder=0.5)
        panel.set_xlabel(label)
    _name_colours(panels[-1], colours)
    show_figure(show, own_figure=own_figure)
    return panels


def _check(scores: pd.DataFrame) -> None:
    missing = [name for name in _COLUMNS if name not in scores]
    if missing or scores.empty:
        raise ValueError(
            f"Found {len(scores)} scores without columns {missing}, expected at least one with {_COLUMNS}. "
            "Give the DataFrame of tl.probe."
        )
    repeated = scores[scores.duplicated(["block", "target", "metric"])]
    if len(repeated):
        first = repeated.iloc[0]
        raise ValueError(
            f"Found several scores of block {first['block']!r} for {first['target']!r}, expected one. "
            "Draw each run of tl.probe by itself."
        )


def _new_panels(by_metric: dict[str, pd.DataFrame], n_blocks: int) -> np.ndarray:
    import matplotlib.pyplot as plt

    targets = [table["target"].unique() for table in by_metric.values()]
    longest = max(len(str(target)) for of_metric in targets for target in of_metric)
    width = 1.6 + len(by_metric) * (3.3 + 0.075 * longest)
    height = 0.9 + max(map(len, targets)) * max(0.14 * n_blocks, 0.3)
    _, panels = plt.subplots(1, len(by_metric), figsize=(width, height), squeeze=False, layout="constrained")
    return panels.ravel()


def _draw(panel: "matplotlib.axes.Axes", scores: pd.DataFrame, colours: dict[Any, np.ndarray]) -> None:
    """Draw the scores of one metric, targets from top to bottom and blocks within them."""
    targets = list(scores["target"].unique())
    step = _SPREAD / len(colours)
    for position, (name, colour) in enumerate(colours.items()):
        own = scores[scores["block"] == name]
        heights = own["target"].map(targets.index).to_numpy(float) + step * (position - (len(colours) - 1) / 2)
        width = own["null_upper"] - own["null_mean"]
        null = {"height": 0.8 * step, "color": _NULL, "edgecolor": _NULL, "linewidth": 1.5}
        panel.barh(heights, width, left=own["null_mean"], zorder=1, **null)
        panel.hlines(heights, own["lower"], own["upper"], color=colour, lw=1.6, zorder=2)
        is_above = (own["score"] > own["null_upper"]).to_numpy()
        faces = np.where(is_above[:, None], colour, 1.0)
        panel.scatter(own["score"], heights, s=26, color=faces, edgecolors=[colour], linewidths=1.3, zorder=3)
    for boundary in np.arange(1, len(targets)) - 0.5:
        panel.axhline(boundary, color="0.92", lw=0.8, zorder=0)
    panel.set(yticks=range(len(targets)), yticklabels=[str(target) for target in targets])
    panel.set_ylim(len(targets) - 0.5, -0.5)
    panel.tick_params(axis="y", length=0)
    panel.spines[["top", "right"]].set_visible(False)


def _name_colours(panel: "matplotlib.axes.Axes", colours: dict[Any, np.ndarray]) -> None:
    for name, colour in colours.items():
        panel.plot([], [], color=colour, marker="o", ms=5, lw=1.6, label=str(name))
    panel.plot([], [], color=_NULL, lw=6, label="null, mean to 95 %")
    panel.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize="small")
