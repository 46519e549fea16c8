"""Colours of categories, and the legend that names them."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    import matplotlib.axes

MISSING = "0.85"
"""Grey of cells without a value."""


def category_colours(n_categories: int, cmap: Any) -> np.ndarray:
    """One colour per category: as listed in a qualitative map, else evenly spaced in a continuous one."""
    import matplotlib

    default = "tab10" if n_categories <= 10 else "tab20" if n_categories <= 20 else "turbo"
    chosen = matplotlib.colormaps.get_cmap(cmap or default)
    if chosen.N >= 256:
        return chosen(np.linspace(0, 1, max(n_categories, 1)))
    return chosen(np.arange(n_categories) % chosen.N)


def category_legend(ax: "matplotlib.axes.Axes", names: pd.Index, colours: np.ndarray, *, has_missing: bool) -> None:
    """Name the colours to the right of the axes, in order, missing cells last."""
    for name, colour in zip(names, colours, strict=True):
        ax.scatter([], [], color=colour, s=30, label=str(name))
    if has_missing:
        ax.scatter([], [], color=MISSING, s=30, label="missing")
    n_columns = 1 + len(names) // 16
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize="small", ncols=n_columns)
