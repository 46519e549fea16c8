"""The result of ranking features along components, as a table."""

import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    import anndata

_COLUMNS = ("names", "scores", "logfoldchanges", "pvals", "pvals_adj", "agreement")


def rank_features_along_df(
    adata: "anndata.AnnData",
    component: int | None = None,
    *,
    key: str = "rank_features_along",
    min_agreement: float = 0.0,
) -> pd.DataFrame:
    """Give what :func:`rank_features_along` found as a tidy table, with the agreement between splits.

    ``scanpy.get.rank_genes_groups_df`` reads the same result, but leaves the agreement out.

    Parameters
    ----------
    adata
        Object with the result in ``.uns[key]``.
    component
        Number of a component, counted from 0. All by default.
    key
        ``.uns`` key of the result.
    min_agreement
        Keep features that held up in at least this share of the splits.

    Returns
    -------
    Table with a row per component, end and feature: ``names``, ``component``, ``end`` (``low`` or ``high``),
    ``scores`` (Welch's t against the middle), ``logfoldchanges`` (effects, on the scale that ``params`` says),
    ``pvals``, ``pvals_adj`` and ``agreement``. Within an end, sorted by agreement, then by the absolute score.

    Raises
    ------
    KeyError
        If there is no such result.
    ValueError
        If it has no such component.
    """
    if key not in adata.uns:
        raise KeyError(f"{key!r} was not found in .uns, which has {list(adata.uns)}. Run tl.rank_features_along first.")
    result = adata.uns[key]
    tables = [_group(result, name) for name in result["names"].dtype.names]
    table = pd.concat(tables, ignore_index=True)
    known = sorted(table["component"].unique().tolist())
    if component is not None and component not in known:
        raise ValueError(f"Found component={component}, expected one of {known}, counted from 0.")
    is_wanted = np.ones(len(table), dtype=bool) if component is None else table["component"] == component
    return table[is_wanted & (table["agreement"] >= min_agreement)].reset_index(drop=True)


def _group(result: dict, name: str) -> pd.DataFrame:
    component, end = re.fullmatch(r"component (\d+) (low|high)", name).groups()
    table = pd.DataFrame({column: np.asarray(result[column][name]) for column in _COLUMNS})
    table.insert(1, "component", int(component))
    table.insert(2, "end", end)
    return table
