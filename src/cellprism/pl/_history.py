"""Loss curves."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cellprism._keys import COSTS, STAGE
from cellprism.pl._show import show_figure

if TYPE_CHECKING:
    import matplotlib.axes

_COLOURS = {"train": "#1f77b4", "validation": "#d95f02", "": "#555555"}
_LABELS = {"train": "training", "validation": "validation", "": None}


def history(
    model_or_history: Any,
    *,
    ax: "Sequence[matplotlib.axes.Axes] | np.ndarray | None" = None,
    show: bool | None = None,
) -> np.ndarray:
    """Draw how every term of the loss developed, training and validation cells in one panel per term.

    Parameters
    ----------
    model_or_history
        A trained model, or its ``.history``: term to a DataFrame of one column, indexed by epoch. Keys
        such as ``train_loss_epoch`` and ``validation_loss``, or ``critic_accuracy_train`` and
        ``critic_accuracy_validation``, share a panel. Curves per step, and those of speed and memory, are left
        out; where training had several stages, a dotted line marks where each begins.
    ax
        One axes per term to draw into. A new figure by default.
    show
        Call ``plt.show()``. By default only for a new figure in an interactive session.

    Returns
    -------
    Flat array of the axes, one per term: the total loss first, the others by name.

    Raises
    ------
    ValueError
        If there is no history, or another number of axes than of terms.

    Examples
    --------
    >>> import pandas as pd
    >>> curve = pd.DataFrame({"loss": [2.0, 1.0, 0.5]})
    >>> axes = history({"train_loss_epoch": curve, "validation_loss": curve + 0.1}, show=False)
    >>> [panel.get_title() for panel in axes]
    ['loss']
    """
    curves = model_or_history if isinstance(model_or_history, Mapping) else model_or_history.history
    if not curves:
        raise ValueError("Found no history, expected at least one curve. Train the model first: model.train().")
    terms = _by_term(curves)
    starts = _starts_of_stages(curves)
    own_figure = ax is None
    panels = _new_panels(len(terms)) if own_figure else np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
    if len(panels) != len(terms):
        raise ValueError(f"Found {len(panels)} axes for {len(terms)} terms: {list(terms)}. Give one per term.")
    for panel, (term, by_set) in zip(panels, terms.items(), strict=True):
        _draw(panel, term, by_set)
        for start in starts:
            if panel.dataLim.x0 < start < panel.dataLim.x1:
                panel.axvline(start, color="#999999", lw=0.8, ls=":")
    show_figure(show, own_figure=own_figure)
    return panels


def _by_term(curves: Mapping[str, pd.DataFrame]) -> dict[str, dict[str, pd.Series]]:
    """Sort curves into term -> set of cells -> values, the total loss first."""
    terms: dict[str, dict[str, pd.Series]] = {}
    for key, curve in curves.items():
        if key.endswith("_step") or key in (STAGE, *COSTS):
            continue
        term, cells = _split(key.removesuffix("_epoch"))
        terms.setdefault(term, {})[cells] = pd.DataFrame(curve).iloc[:, 0].astype(float).dropna()
    return {term: terms[term] for term in sorted(terms, key=lambda term: (term != "loss", term))}


def _starts_of_stages(curves: Mapping[str, pd.DataFrame]) -> list[float]:
    """First epochs of all stages but the first."""
    if STAGE not in curves:
        return []
    stage = pd.DataFrame(curves[STAGE]).iloc[:, 0]
    return [float(epoch) for epoch in stage.index[stage.ne(stage.shift())][1:]]


def _split(key: str) -> tuple[str, str]:
    """Split ``critic_accuracy_train`` or ``validation_loss`` into the term and the set of cells."""
    for cells in ("train", "validation"):
        if key.endswith(f"_{cells}"):
            return key.removesuffix(f"_{cells}"), cells
        if key.startswith(f"{cells}_"):
            return key.removeprefix(f"{cells}_"), cells
    return key, ""


def _new_panels(n_terms: int) -> np.ndarray:
    import matplotlib.pyplot as plt

    n_rows = -(-n_terms // 4)
    n_columns = -(-n_terms // n_rows)
    figure, grid = plt.subplots(
        n_rows, n_columns, figsize=(3.2 * n_columns, 2.6 * n_rows), squeeze=False, layout="constrained"
    )
    panels = grid.ravel()
    for unused in panels[n_terms:]:
        figure.delaxes(unused)
    return panels[:n_terms]


def _draw(panel: "matplotlib.axes.Axes", term: str, by_set: dict[str, pd.Series]) -> None:
    for cells in ("train", "validation", ""):
        if cells in by_set:
            curve = by_set[cells]
            marker = "." if len(curve) < 3 else None
            epochs, values = curve.index.to_numpy(dtype=float), curve.to_numpy()
            panel.plot(epochs, values, color=_COLOURS[cells], label=_LABELS[cells], marker=marker, lw=1.3)
    panel.set(title=term.replace("_", " "), xlabel="epoch")
    panel.title.set_fontsize("medium")
    panel.spines[["top", "right"]].set_visible(False)
    if len(by_set) > 1:
        panel.legend(frameon=False, fontsize="small")
