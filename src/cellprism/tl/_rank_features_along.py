"""Which features change along the principal components of a latent block."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from cellprism.tl._feature_values import FeatureValues, Scale, block_values, feature_values
from cellprism.tl._principal_axes import PrincipalAxes
from cellprism.tl._welch import Moments, WelchTest, adjusted, welch_test

if TYPE_CHECKING:
    import anndata

_ENDS = ("low", "high")
_FEWEST = 2
"""Fewest cells of a bin in either part of a split: a variance needs two."""


def rank_features_along(
    adata: "anndata.AnnData",
    block: str | np.ndarray,
    *,
    n_components: int = 3,
    layer: str | None = None,
    obsm: str | None = None,
    scale: Scale | None = None,
    near: float = 0.5,
    ends: float = 0.25,
    alpha: float = 0.05,
    min_effect: float = 0.25,
    n_splits: int = 5,
    test_size: float = 0.25,
    key_added: str = "rank_features_along",
    seed: int = 0,
) -> None:
    """Rank the features that differ between the ends and the middle of each principal component of a latent block.

    Works on any embedding and any features of the same cells. For each component, the cells nearest to its axis,
    where all other components are near their centre, are divided by their place along it into a low end, a middle and
    a high end. Each end is compared with the middle by Welch's t-test, p-values adjusted by Benjamini and Hochberg's
    procedure over the features.

    A feature that differs in a random part of the cells, and differs again, in the same direction, in the cells left
    out, held up. The share of random splits in which it did is its ``agreement``: features with an agreement near 1
    are carried by the component.

    Parameters
    ----------
    adata
        Cells with the features and, unless ``block`` is an array, with the embedding. Their order does not matter.
    block
        ``.obsm`` key of a latent block, such as ``"X_shared"``, or the block: cells x width. Cells with NaN
        are left out.
    n_components
        How many components to go along, those with most variance first.
    layer
        Layer of the features' values. ``.X`` by default.
    obsm
        ``.obsm`` key of a DataFrame, cells x features, to rank instead, as :func:`cellprism.pp.image_features` writes.
        NaN count as missing.
    scale
        What the values are. ``"log1p"``, for ``.X`` and layers by default: logarithms of 1 + x, as of
        :func:`log_normalize`; effects are log2 fold changes. ``"linear"``, for ``obsm`` by default: any other
        scale, negative values included; effects are differences of means in standard deviations (Cohen's d).
    near
        Share of the cells that are compared, those nearest to the component's axis; 1 compares all.
    ends
        Share of the compared cells that makes up either end.
    alpha
        Adjusted p-values below differ.
    min_effect
        Smallest absolute effect that counts as a difference, in log2 units or standard deviations.
    n_splits
        How many random splits of the cells, the same share of each bin left out.
    test_size
        Share of the compared cells that is left out to see whether a difference holds up.
    key_added
        ``.uns`` and ``.obsm`` key to write.
    seed
        Of the splits.

    Returns
    -------
    Nothing. ``adata.uns[key_added]`` is laid out as by ``scanpy.tl.rank_genes_groups``:

    - ``names``, ``scores`` (t), ``pvals``, ``pvals_adj``, ``logfoldchanges`` (effects, whatever the scale), of all
      compared cells together, and ``agreement``: structured arrays with a field per group, ``"component 0 low"``,
      ``"component 0 high"``, ``"component 1 low"`` and so on, each against the middle of its component. Components
      are counted from 0. Sorted by agreement, then by the absolute score.
    - ``components`` (components x width), ``center``, ``sd`` and ``variance_ratio``: the axes, for :func:`traverse`.
    - ``params``: what was asked for.

    ``adata.obsm[key_added]`` has each cell's place along each component, in standard deviations; NaN for cells that
    were not compared.

    Raises
    ------
    KeyError
        If a slot is not found.
    ValueError
        If shapes or options do not fit, or too few cells are left to compare.

    Warns
    -----
    UserWarning
        If values that should be logarithms look like raw counts.

    See Also
    --------
    rank_features_along_df : the result as a table, with the agreement.

    Notes
    -----
    Splits share cells, so that agreement is no probability. It sorts out features that differ only just: without any
    true difference, some pass in all cells together, but few hold up in one split, and hardly any in most.

    A model that was given a feature places cells by that feature's noise as well as by its signal, so that p-values
    are too small for features it was trained on. The cells left out here do not cure this. Pass cells that the model
    was not trained on, ``adata[held_out]``, to weaken it, or features that the model was not given, to be rid of it.

    References
    ----------
    Follows the analysis of components by :cite:t:`zhang2026`.

    Examples
    --------
    >>> import numpy as np
    >>> from anndata import AnnData
    >>> random = np.random.default_rng(0)
    >>> latent = random.normal(size=(400, 2)) * [3, 1]
    >>> means = np.stack([np.ones(400), np.exp(latent[:, 0] / 3)], axis=1)
    >>> adata = AnnData(np.log1p(random.poisson(5 * means)), obsm={"X_shared": latent})
    >>> adata.var_names = ["ACTB", "CD3E"]
    >>> rank_features_along(adata, "X_shared", n_components=1)
    >>> result = adata.uns["rank_features_along"]
    >>> result["names"]["component 0 high"].tolist(), result["agreement"]["component 0 high"].tolist()
    (['CD3E', 'ACTB'], [1.0, 0.0])
    """
    _check_options(near=near, ends=ends, alpha=alpha, test_size=test_size, n_splits=n_splits, min_effect=min_effect)
    values = feature_values(adata, layer=layer, obsm=obsm, scale=scale)
    embedding = block_values(adata, block)
    known = _by_name(adata.obs_names, np.flatnonzero(np.isfinite(embedding).all(axis=1)))
    axes = PrincipalAxes.fit(embedding[known], n_components)
    rule = _Rule(alpha, min_effect, n_splits, test_size)
    random = np.random.default_rng(seed)
    places = np.full((adata.n_obs, n_components), np.nan)
    groups = {}
    for component in range(n_components):
        cells = known[_nearest(axes.distances(embedding[known], component), near)]
        places[cells, component] = axes.positions(embedding[cells], component)
        bins = _bins(cells, places[cells, component], ends, rule)
        ranked = _rank(values, bins, rule, random)
        groups |= {f"component {component} {end}": table for end, table in ranked.items()}
    names = [f"component {component}" for component in range(n_components)]
    slots = {"layer": layer, "obsm": obsm, "block": block if isinstance(block, str) else None}
    options = {"near": near, "ends": ends, "min_effect": min_effect, "test_size": test_size}
    options |= {"alpha": alpha, "n_splits": n_splits, "seed": seed, "scale": values.scale}
    adata.uns[key_added] = _as_in_scanpy(groups) | axes.to_plain() | {"params": _params(slots, options)}
    adata.obsm[key_added] = pd.DataFrame(places, index=adata.obs_names, columns=names)


@dataclass(frozen=True)
class _Rule:
    """When a feature differs, and how it is seen whether this holds up."""

    alpha: float
    min_effect: float
    n_splits: int
    test_size: float

    def n_left_out(self, n_cells: int) -> int:
        """Tell how many cells of a bin are left out."""
        return round(self.test_size * n_cells)

    def holds_up(self, found: WelchTest, again: WelchTest) -> np.ndarray:
        """Tell which features differ in both of two tests, in one direction."""
        differs = found.differs(self.alpha, self.min_effect)
        differs_again = again.differs(self.alpha, self.min_effect, among=differs)
        return differs & differs_again & (np.sign(found.statistic) == np.sign(again.statistic))


def _check_options(**options: float) -> None:
    """Raise unless all numbers are such as can be worked with."""
    n_splits, min_effect = options.pop("n_splits"), options.pop("min_effect")
    bounds = {"near": (0, 1, "above 0, at most 1"), "ends": (0, 0.5, "above 0, below 0.5")}
    for name, value in options.items():
        low, high, expected = bounds.get(name, (0, 1, "between 0 and 1"))
        if not low < value <= high or (value == high and name != "near"):
            raise ValueError(f"Found {name}={value}, expected a share {expected}.")
    if n_splits < 1:
        raise ValueError(f"Found n_splits={n_splits}, expected at least 1.")
    if min_effect < 0:
        raise ValueError(f"Found min_effect={min_effect}, expected 0 or more; it bounds the absolute effect.")


def _by_name(names: pd.Index, rows: np.ndarray) -> np.ndarray:
    """Order rows by the names of their cells, so that random splits are those of cells in any order."""
    return rows[np.argsort(names.to_numpy(dtype=str)[rows], kind="stable")]


def _nearest(distances: Float[np.ndarray, " cells"], near: float) -> np.ndarray:
    """Give the positions of the share of cells that has the smallest distances, in their order."""
    n_near = max(1, round(near * len(distances)))
    return np.sort(np.argsort(distances, kind="stable")[:n_near])


def _bins(cells: np.ndarray, positions: Float[np.ndarray, " cells"], ends: float, rule: _Rule) -> dict[str, np.ndarray]:
    """Divide cells into the low end, the middle and the high end."""
    low, high = np.quantile(positions, [ends, 1 - ends])
    is_low, is_high = positions <= low, positions >= high
    bins = {"low": cells[is_low], "middle": cells[~is_low & ~is_high], "high": cells[is_high]}
    sizes = {name: len(rows) for name, rows in bins.items()}
    smallest = min(sizes.values())
    if min(rule.n_left_out(smallest), smallest - rule.n_left_out(smallest)) < _FEWEST:
        raise ValueError(
            f"Found {len(cells)} cells to compare along a component, {sizes} of them in its bins, expected at least "
            f"{_FEWEST} of each bin on either side of a split with test_size={rule.test_size}. Raise near or ends, or "
            "give more cells."
        )
    return bins


def _rank(
    values: FeatureValues, bins: dict[str, np.ndarray], rule: _Rule, random: np.random.Generator
) -> dict[str, pd.DataFrame]:
    """Test all features of both ends, those that hold up first."""
    agreement = {end: np.zeros(len(values.names)) for end in _ENDS}
    for kept, left_out in _splits(bins, rule, random):
        found, again = _compare(values, kept), _compare(values, left_out)
        for end in _ENDS:
            agreement[end] += rule.holds_up(found[end], again[end]) / rule.n_splits
    tests = _compare(values, bins)
    return {end: _table(values.names, tests[end], agreement[end]) for end in _ENDS}


def _splits(
    bins: dict[str, np.ndarray], rule: _Rule, random: np.random.Generator
) -> Iterator[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]:
    """Give the cells of each bin that are kept and that are left out."""
    for _ in range(rule.n_splits):
        shuffled = {name: random.permutation(cells) for name, cells in bins.items()}
        cut = {name: rule.n_left_out(len(cells)) for name, cells in bins.items()}
        kept = {name: np.sort(cells[cut[name] :]) for name, cells in shuffled.items()}
        yield kept, {name: np.sort(cells[: cut[name]]) for name, cells in shuffled.items()}


def _compare(values: FeatureValues, bins: dict[str, np.ndarray]) -> dict[str, WelchTest]:
    """Test each end against the middle."""
    moments = {name: Moments.of(values.of(cells)) for name, cells in bins.items()}
    return {end: welch_test(moments[end], moments["middle"], scale=values.scale) for end in _ENDS}


def _table(names: np.ndarray, test: WelchTest, agreement: np.ndarray) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "names": names,
            "scores": test.statistic,
            "logfoldchanges": test.effect,
            "pvals": test.pvalue,
            "pvals_adj": adjusted(test.pvalue),
            "agreement": np.round(agreement, 12),
        }
    )
    return table.iloc[np.lexsort((-table["scores"].abs(), -table["agreement"]))]


def _as_in_scanpy(groups: dict[str, pd.DataFrame]) -> dict[str, np.recarray]:
    """Turn a table per group into a structured array per column."""
    columns = next(iter(groups.values())).columns
    return {
        column: np.rec.fromarrays(
            [table[column].to_numpy() for table in groups.values()],
            dtype=[(group, object if column == "names" else table[column].dtype) for group, table in groups.items()],
        )
        for column in columns
    }


def _params(slots: dict[str, str | None], options: dict[str, Any]) -> dict[str, Any]:
    """Keep what was asked for, and what scanpy's readers look for."""
    scanpys = {"method": "t-test", "corr_method": "benjamini-hochberg", "reference": "middle"}
    scanpys |= {"groupby": "component", "use_raw": False}
    return scanpys | {name: slot for name, slot in slots.items() if slot is not None} | options
