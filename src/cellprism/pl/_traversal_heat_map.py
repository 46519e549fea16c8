"""Features that change most along components, as heat maps."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from cellprism.pl._traversal_data import middle_step, positions

if TYPE_CHECKING:
    import anndata

_ROW = 0.19
"""Height of one feature in inches."""

_LARGEST_CHANGE = 98
"""Percentile of the absolute changes at which the colours end."""


def draw_heat_maps(named: dict[str, "anndata.AnnData"], n_features: int, ax: Any) -> np.ndarray:
    """Draw a panel per traversal, all on one scale.

    Raises
    ------
    ValueError
        If there are no values to draw, or axes do not fit.
    """
    if n_features < 1:
        raise ValueError(f"Found n_features={n_features}, expected at least 1.")
    values = {name: _values(name, traversal) for name, traversal in named.items()}
    is_log = all((table.to_numpy() >= 0).all() for table in values.values())
    changes = {name: _changes(named[name], table, n_features, is_log=is_log) for name, table in values.items()}
    largest = (
        float(
            np.percentile(
                np.abs(np.concatenate([change.to_numpy().ravel() for change in changes.values()])), _LARGEST_CHANGE
            )
        )
        or 1.0
    )
    panels = _new_panels(changes) if ax is None else np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
    if len(panels) != len(named):
        raise ValueError(f"Found {len(panels)} axes for {len(named)} traversals, expected one per traversal.")
    for panel, (name, change) in zip(panels, changes.items(), strict=True):
        drawn = panel.imshow(change, cmap="RdBu_r", vmin=-largest, vmax=largest, aspect="auto", interpolation="none")
        panel.set_yticks(range(len(change)), change.index, fontsize="small")
        panel.set_xticks(range(change.shape[1]), _labels(named[name]), fontsize="small")
        panel.tick_params(length=0)
        panel.set_title(name, fontsize="medium")
        panel.set_xlabel("place along the component (sd)", fontsize="small")
    bar = panels[0].figure.colorbar(drawn, ax=list(panels), extend="both", shrink=0.7, aspect=25, pad=0.02)
    bar.set_label("change from the middle" + (" (log2 of 1 + value)" if is_log else ""), fontsize="small")
    bar.ax.tick_params(labelsize="small")
    return panels


def _values(name: str, traversal: "anndata.AnnData") -> pd.DataFrame:
    """Give the decoded table as steps x features."""
    if traversal.X is None or not traversal.n_vars:
        raise ValueError(
            f"Found neither images nor values in {name!r} (.obsm has {list(traversal.obsm)}), expected either. "
            "Pass key=... if the images are elsewhere."
        )
    values = traversal.X.toarray() if sparse.issparse(traversal.X) else np.asarray(traversal.X)
    return pd.DataFrame(values.astype(np.float64), index=traversal.obs_names, columns=traversal.var_names)


def _changes(traversal: "anndata.AnnData", values: pd.DataFrame, n_features: int, *, is_log: bool) -> pd.DataFrame:
    """Give changes from the middle step as features x steps: those that span most, from rising to falling."""
    changes = np.log2(1 + values.to_numpy()) if is_log else values.to_numpy()
    changes = changes - changes[middle_step(traversal)]
    widest = np.argsort(-np.ptp(changes, axis=0), kind="stable")[:n_features]
    order = widest[np.argsort(changes[0, widest] - changes[-1, widest], kind="stable")]
    return pd.DataFrame(changes[:, order].T, index=values.columns[order])


def _labels(traversal: "anndata.AnnData") -> list[str]:
    return [f"{place:+.1f}" if place else "0" for place in np.round(positions(traversal), 1)]


def _new_panels(changes: dict[str, pd.DataFrame]) -> np.ndarray:
    import matplotlib.pyplot as plt

    n_rows = max(map(len, changes.values()))
    inches = (3.4 * len(changes) + 0.9, n_rows * _ROW + 0.9)
    return plt.subplots(1, len(changes), figsize=inches, squeeze=False, layout="constrained")[1].ravel()
