"""Features that change along a component, as measured."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from cellprism.pl._show import show_figure

if TYPE_CHECKING:
    import anndata
    import matplotlib.axes

_FIELDS = ("names", "scores", "agreement")
_CARRIED, _NOT_CARRIED = "#1f77b4", "0.55"
_END = "0.93"
_MOSTLY = 0.5
"""Agreement from which a feature is drawn as carried."""


def features_along(
    adata: "anndata.AnnData",
    component: int = 0,
    *,
    key: str = "rank_features_along",
    features: Sequence[str] | None = None,
    n_features: int = 8,
    n_bins: int = 7,
    ax: "Sequence[matplotlib.axes.Axes] | np.ndarray | matplotlib.axes.Axes | None" = None,
    show: bool | None = None,
) -> np.ndarray:
    """Draw how the features that a component carries change along it: means over cells, with 95 % intervals.

    The cells are those that :func:`cellprism.tl.rank_features_along` compared, in bins of equal numbers along the
    component; its ends, which were tested against the middle, are shaded. The title says in how many splits the
    feature held up, at the end where it did so more often. Features that did in less than half of them are grey.

    Parameters
    ----------
    adata
        Object with the result in ``.uns[key]`` and ``.obsm[key]``, and with the values that were ranked.
    component
        Number of the component, counted from 0.
    key
        Key of the result.
    features
        Names of the features to draw. By default those with the highest agreement, then the largest score, at either
        end.
    n_features
        How many of these.
    n_bins
        Number of bins along the component.
    ax
        One axes per feature to draw into. A new figure by default.
    show
        Call ``plt.show()``. By default only for a new figure in an interactive session.

    Returns
    -------
    Array of the axes, one per feature.

    Raises
    ------
    KeyError
        If there is no such result, or its values are not found.
    ValueError
        If there is no such component or feature, or bins or axes do not fit.
    """
    if key not in adata.uns or key not in adata.obsm:
        raise KeyError(f"{key!r} was not found in .uns and .obsm. Run tl.rank_features_along first.")
    ranked = _ranked(adata.uns[key], component)
    chosen = _chosen(ranked, features, n_features)
    places = adata.obsm[key][f"component {component}"].to_numpy(dtype=float)
    compared = np.flatnonzero(np.isfinite(places))
    bins = _bins(places[compared], n_bins)
    params = adata.uns[key]["params"]
    values = _values(adata, params, list(chosen), compared)
    own_figure = ax is None
    panels = _new_panels(len(chosen)) if own_figure else np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
    if len(panels) != len(chosen):
        raise ValueError(f"Found {len(panels)} axes for {len(chosen)} features, expected one per feature.")
    ends = np.quantile(places[compared], [float(params["ends"]), 1 - float(params["ends"])])
    for panel, (name, agreement) in zip(panels, chosen.items(), strict=True):
        _draw(panel, places[compared], values[name].to_numpy(), bins, ends, agreement)
        n_splits = int(params["n_splits"])
        panel.set_title(
            f"{name}\n{agreement * n_splits:.0f}/{n_splits} splits", fontsize="medium" if len(name) < 25 else "small"
        )
    _name_axes(panels, component, params, n_columns=_n_columns(len(panels)) if own_figure else 1)
    show_figure(show, own_figure=own_figure)
    return panels


def _ranked(result: dict, component: int) -> pd.DataFrame:
    """Give the agreement and the absolute score of each feature at the end where it did better, best first."""
    known = result["names"].dtype.names
    if f"component {component} low" not in known:
        raise ValueError(f"Found component={component}, expected one of 0 to {len(known) // 2 - 1}.")
    ends = [
        pd.DataFrame({field: np.asarray(result[field][f"component {component} {end}"]) for field in _FIELDS})
        for end in ("low", "high")
    ]
    table = pd.concat(ends).assign(scores=lambda found: found["scores"].abs())
    table = table.sort_values(["agreement", "scores"], ascending=False, kind="stable")
    return table.drop_duplicates("names").set_index("names")


def _chosen(ranked: pd.DataFrame, features: Sequence[str] | None, n_features: int) -> dict[str, float]:
    """Give the agreement of the features to draw."""
    if n_features < 1 or (features is not None and not len(features)):
        raise ValueError(f"Found n_features={n_features} and features={features}, expected at least one to draw.")
    if features is None:
        return ranked["agreement"].head(n_features).to_dict()
    unknown = [name for name in features if name not in ranked.index]
    if unknown:
        raise ValueError(f"Features {unknown} are not among the {len(ranked)} that were ranked.")
    return ranked.loc[list(features), "agreement"].to_dict()


def _values(adata: "anndata.AnnData", params: dict, names: list[str], rows: np.ndarray) -> pd.DataFrame:
    """Read the values of some features and cells from where they were ranked."""
    slot, field = ("obsm", params["obsm"]) if "obsm" in params else ("layers", params.get("layer"))
    if field is not None and field not in getattr(adata, slot):
        raise KeyError(
            f"{field!r}, which was ranked, was not found in .{slot}, which has {list(getattr(adata, slot))}."
        )
    if slot == "obsm":
        return adata.obsm[field].iloc[rows].loc[:, names].astype(float)
    matrix = (adata.X if field is None else adata.layers[field])[:, adata.var_names.get_indexer(names)][rows]
    dense = matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)
    return pd.DataFrame(dense.astype(np.float64), columns=names)


def _bins(places: np.ndarray, n_bins: int) -> np.ndarray:
    """Give the bin of each cell; bins hold equal numbers of cells, to within one."""
    if not 2 <= n_bins <= len(places) // 2:
        raise ValueError(f"Found n_bins={n_bins} for {len(places)} cells, expected 2 to {len(places) // 2}.")
    ranks = np.argsort(np.argsort(places, kind="stable"), kind="stable")
    return ranks * n_bins // len(places)


def _draw(
    panel: "matplotlib.axes.Axes",
    places: np.ndarray,
    values: np.ndarray,
    bins: np.ndarray,
    ends: np.ndarray,
    agreement: float,
) -> None:
    from scipy.stats import t

    known = np.isfinite(values)
    cells = pd.DataFrame({"place": places[known], "value": values[known]}).groupby(bins[known])
    means, sem = cells.mean(), cells["value"].sem()
    half = sem * t.ppf(0.975, np.maximum(cells.size() - 1, 1))
    colour = _CARRIED if agreement >= _MOSTLY else _NOT_CARRIED
    panel.errorbar(means["place"], means["value"], yerr=half, color=colour, marker="o", ms=4, lw=1.3, elinewidth=1)
    left, right = panel.get_xlim()
    panel.axvspan(left, ends[0], color=_END, lw=0, zorder=0)
    panel.axvspan(ends[1], right, color=_END, lw=0, zorder=0)
    panel.set_xlim(left, right)
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelsize="small")


def _name_axes(panels: np.ndarray, component: int, params: dict[str, Any], *, n_columns: int) -> None:
    """Label the axes at the left and the lower edge of a grid, or all where there is one column."""
    place = f"component {component} (sd)" if "block" not in params else f"{params['block']}, component {component} (sd)"
    value = "mean log(1 + x)" if params["scale"] == "log1p" else "mean"
    for position, panel in enumerate(panels):
        if n_columns == 1 or position + n_columns >= len(panels):
            panel.set_xlabel(place, fontsize="small")
        if position % n_columns == 0:
            panel.set_ylabel(value, fontsize="small")


def _n_columns(n_features: int) -> int:
    return -(-n_features // -(-n_features // 4))


def _new_panels(n_features: int) -> np.ndarray:
    import matplotlib.pyplot as plt

    n_columns = _n_columns(n_features)
    n_rows = -(-n_features // n_columns)
    figure, grid = plt.subplots(
        n_rows, n_columns, figsize=(2.3 * n_columns + 0.3, 2.0 * n_rows + 0.4), squeeze=False, layout="constrained"
    )
    for unused in grid.ravel()[n_features:]:
        figure.delaxes(unused)
    return grid.ravel()[:n_features]
