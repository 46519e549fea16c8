"""Scores of cross-fitted predictions, with weights for the cells so that they can be resampled."""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float, Int

Score = Callable[[np.ndarray], float]
"""Weights of the cells to the score."""

_N_BOOTSTRAPS = 400


def weighted_r2(observed: Float[np.ndarray, "cells 1"], predicted: Float[np.ndarray, "cells 1"]) -> Score:
    """Coefficient of determination by the cells' weights; NaN where the numbers do not vary."""
    squares, errors = observed[:, 0] - observed.mean(), ((observed - predicted) ** 2)[:, 0]

    def score(weights: np.ndarray) -> float:
        total = weights @ squares**2 - (weights @ squares) ** 2 / weights.sum()
        return float(1 - weights @ errors / total) if total > 0 else np.nan

    return score


def weighted_auroc(
    observed: Float[np.ndarray, "cells classes"], predicted: Float[np.ndarray, "cells classes"]
) -> Score:
    """Area under the ROC curve of each class against the rest, mean over classes, by the cells' weights."""
    columns = range(1) if observed.shape[1] == 2 else range(observed.shape[1])
    ranks = [np.unique(predicted[:, k], return_inverse=True)[1] for k in columns]

    def score(weights: np.ndarray) -> float:
        areas = [_area(ranks[k], weights * observed[:, k], weights * (1 - observed[:, k])) for k in columns]
        known = [area for area in areas if not np.isnan(area)]
        return float(np.mean(known)) if known else np.nan

    return score


def _area(ranks: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> float:
    """Chance that a positive ranks above a negative, ties counted half."""
    n_pairs = positive.sum() * negative.sum()
    if n_pairs == 0:
        return np.nan
    of_positive, of_negative = np.bincount(ranks, positive), np.bincount(ranks, negative)
    return float(of_positive @ (np.cumsum(of_negative) - of_negative / 2) / n_pairs)


def bootstrap_interval(score: Score, groups: Int[np.ndarray, " cells"] | None, n_cells: int, seed: int) -> list[float]:
    """95 % interval of the score over cells drawn with replacement, or over groups where there are any."""
    scores = [score(weights) for weights in _drawn(groups, n_cells, np.random.default_rng(seed))]
    known = [value for value in scores if not np.isnan(value)]
    return np.percentile(known, [2.5, 97.5]).tolist() if known else [np.nan, np.nan]


def _drawn(groups: np.ndarray | None, n_cells: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """How often each cell is drawn, once per resampling."""
    units = np.arange(n_cells) if groups is None else np.unique(groups, return_inverse=True)[1]
    n_units = units.max() + 1
    for _ in range(_N_BOOTSTRAPS):
        times = np.bincount(random.integers(n_units, size=n_units), minlength=n_units)
        yield times[units].astype(np.float64)
