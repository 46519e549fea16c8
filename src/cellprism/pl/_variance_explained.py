"""How the variance of each modality divides among blocks."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cellprism.pl._category_colours import MISSING, category_colours
from cellprism.pl._show import show_figure

if TYPE_CHECKING:
    import matplotlib.axes

_NEITHER = "neither"
_LEAST_LABELLED = 0.07
"""Shares smaller than this are not written into their bar."""


def variance_explained(
    shares: Mapping[str, pd.Series] | pd.DataFrame,
    *,
    cmap: Any = None,
    ax: "matplotlib.axes.Axes | None" = None,
    show: bool | None = None,
) -> "matplotlib.axes.Axes":
    """Draw a stacked bar per modality, or per feature: what each block explains of the variance, and what none does.

    Negative shares, of blocks that make predictions worse, reach to the left of 0.

    Parameters
    ----------
    shares
        Modality to the ``total`` of :func:`cellprism.tl.variance_explained`, or a DataFrame with one row per bar, such
        as some rows of ``features``.
    cmap
        Colour map of the blocks, in the order in which they first appear. By default tab10 or tab20. ``"neither"`` is
        grey.
    ax
        Axes to draw into. A new figure by default.
    show
        Call ``plt.show()``. By default only for a new figure in an interactive session.

    Returns
    -------
    The axes.

    Raises
    ------
    ValueError
        If there are no shares.

    Examples
    --------
    >>> import pandas as pd
    >>> total = pd.Series({"shared": 0.5, "private": 0.3, "neither": 0.2})
    >>> axes = variance_explained({"rna": total, "atac": total}, show=False)
    >>> [text.get_text() for text in axes.get_legend().get_texts()]
    ['shared', 'private', 'neither']
    """
    import matplotlib.pyplot as plt

    table = _as_table(shares)
    own_figure = ax is None
    if own_figure:
        _, ax = plt.subplots(figsize=(6, 0.9 + 0.38 * len(table)), layout="constrained")
    _draw(ax, table, _colours(list(table), cmap))
    ax.set(xlabel="share of variance", yticks=range(len(table)), yticklabels=[str(name) for name in table.index])
    ax.set_ylim(len(table) - 0.5, -0.5)
    ax.margins(x=0.01)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize="small")
    show_figure(show, own_figure=own_figure)
    return ax


def _as_table(shares: Mapping[str, pd.Series] | pd.DataFrame) -> pd.DataFrame:
    """Give bars x blocks, the rest last."""
    rows = dict(shares.iterrows()) if isinstance(shares, pd.DataFrame) else dict(shares)
    blocks = list(dict.fromkeys(block for row in rows.values() for block in row.index if block != _NEITHER))
    if not blocks:
        raise ValueError(
            f"Found shares of {list(rows)} without any block, expected {{'rna': total, ...}} with .total of "
            "tl.variance_explained."
        )
    table = pd.DataFrame.from_dict(rows, orient="index").astype(float)
    return table.reindex(columns=[*blocks, *([_NEITHER] if _NEITHER in table else [])])


def _colours(blocks: list[str], cmap: Any) -> dict[str, Any]:
    named = [block for block in blocks if block != _NEITHER]
    colours = dict(zip(named, category_colours(len(named), cmap), strict=True))
    return {block: colours.get(block, MISSING) for block in blocks}


def _draw(ax: "matplotlib.axes.Axes", table: pd.DataFrame, colours: dict[str, Any]) -> None:
    """Stack positive shares to the right of 0 and negative ones to the left."""
    heights = np.arange(len(table))
    ends = {True: np.zeros(len(table)), False: np.zeros(len(table))}
    for block, colour in colours.items():
        values = np.nan_to_num(table[block].to_numpy())
        starts = np.where(values >= 0, ends[True], ends[False])
        ends = {sign: np.where((values >= 0) == sign, end + values, end) for sign, end in ends.items()}
        ax.barh(heights, values, left=starts, color=colour, height=0.7, label=str(block))
        for height, value, start in zip(heights, values, starts, strict=True):
            if abs(value) >= _LEAST_LABELLED:
                ink = "0.3" if block == _NEITHER else "white"
                ax.text(
                    start + value / 2, height, f"{value:.0%}", ha="center", va="center", color=ink, fontsize="small"
                )
    ax.axvline(0, color="0.4", lw=0.8)
