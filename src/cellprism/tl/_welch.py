"""Welch's t-test of every feature at once, and the size of what it finds."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy import sparse

from cellprism.tl._matrices import Matrix

_FEATURES_AT_ONCE = 2000
_PSEUDOCOUNT = 1e-9
_ROUNDING = 1e-12
"""Standard deviation, as a share of the mean, that is only rounding."""


@dataclass(frozen=True)
class Moments:
    """How many cells have a value of each feature, its mean, and its unbiased variance."""

    n: Float[np.ndarray, " features"]
    mean: Float[np.ndarray, " features"]
    variance: Float[np.ndarray, " features"]

    @classmethod
    def of(cls, values: Matrix) -> "Moments":
        """Measure cells x features; what is not finite counts as missing."""
        n, mean, spread = _sparse_moments(values) if sparse.issparse(values) else _dense_moments(values)
        variance = spread / np.maximum(n - 1, 1)
        return cls(n, mean, np.where(variance > (_ROUNDING * mean) ** 2, variance, 0.0))


def _sparse_moments(values: sparse.spmatrix | sparse.sparray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give numbers of cells, means and sums of squared deviations."""
    from sklearn.utils.sparsefuncs import mean_variance_axis

    mean, variance, n = mean_variance_axis(values.tocsr().astype(np.float64), axis=0, return_sum_weights=True)
    return n, mean, variance * n


def _dense_moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the same, a slab of features at a time."""
    slabs = []
    for first in range(0, values.shape[1], _FEATURES_AT_ONCE):
        slab = values[:, first : first + _FEATURES_AT_ONCE].astype(np.float64)
        known = np.isfinite(slab)
        n = known.sum(axis=0).astype(np.float64)
        mean = np.where(known, slab, 0).sum(axis=0) / np.maximum(n, 1)
        slabs.append((n, mean, (np.where(known, slab - mean, 0) ** 2).sum(axis=0)))
    n, mean, spread = (np.concatenate(parts) for parts in zip(*slabs, strict=True))
    return n, mean, spread


@dataclass(frozen=True)
class WelchTest:
    """Test of each feature: t, p-value, and how much larger the first group is.

    Features that do not vary, or are known in fewer than 2 cells of a group, have t = 0 and p = 1.
    """

    statistic: Float[np.ndarray, " features"]
    pvalue: Float[np.ndarray, " features"]
    effect: Float[np.ndarray, " features"]

    def differs(
        self, alpha: float, min_effect: float, among: Bool[np.ndarray, " features"] | None = None
    ) -> np.ndarray:
        """Tell which features differ, p-values adjusted over the features that are asked about."""
        among = np.ones(len(self.pvalue), dtype=bool) if among is None else among
        significant = np.zeros(len(self.pvalue), dtype=bool)
        significant[among] = adjusted(self.pvalue[among]) < alpha
        return significant & (np.abs(self.effect) >= min_effect)


def welch_test(first: Moments, second: Moments, *, scale: str) -> WelchTest:
    """Compare two groups of cells by their moments.

    The effect is, for ``scale="log1p"``, the log2 fold change, by the formula of
    ``scanpy.tl.rank_genes_groups``; for ``"linear"``, the difference of the means over the root of the mean of
    the two variances (Cohen's d).
    """
    from scipy.stats import ttest_ind_from_stats

    is_tested = (np.minimum(first.n, second.n) >= 2) & (first.variance + second.variance > 0)
    groups = [(g.mean[is_tested], np.sqrt(g.variance[is_tested]), g.n[is_tested]) for g in (first, second)]
    statistic, pvalue = np.zeros(len(is_tested)), np.ones(len(is_tested))
    statistic[is_tested], pvalue[is_tested] = ttest_ind_from_stats(*groups[0], *groups[1], equal_var=False)
    effect = _log2_fold_change(first, second) if scale == "log1p" else _cohens_d(first, second)
    return WelchTest(statistic, pvalue, effect)


def _log2_fold_change(first: Moments, second: Moments) -> np.ndarray:
    return np.log2((np.expm1(first.mean) + _PSEUDOCOUNT) / (np.expm1(second.mean) + _PSEUDOCOUNT))


def _cohens_d(first: Moments, second: Moments) -> np.ndarray:
    sd = np.sqrt((first.variance + second.variance) / 2)
    return np.divide(first.mean - second.mean, sd, out=np.zeros_like(sd), where=sd > 0)


def adjusted(pvalues: Float[np.ndarray, " tests"]) -> Float[np.ndarray, " tests"]:
    """Adjust p-values by Benjamini and Hochberg's procedure; there may be none."""
    from scipy.stats import false_discovery_control

    return false_discovery_control(pvalues) if len(pvalues) else pvalues
