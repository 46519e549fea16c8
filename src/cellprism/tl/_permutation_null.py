"""What a score is worth, next to scores of permuted targets."""

from collections.abc import Sequence

import numpy as np

from cellprism.tl._learners import Model

_N_PERMUTATIONS = {"linear": 100, "nonlinear": 20}


def chosen_permutations(n_permutations: int | None, model: Model) -> int:
    """Give the number of permutations, by default that of the model."""
    chosen = _N_PERMUTATIONS[model] if n_permutations is None else n_permutations
    if chosen < 2:
        raise ValueError(f"Found n_permutations={chosen}, expected at least 2. The p value is at least 1 / (1 + n).")
    return chosen


def beside_null(score: float, null: Sequence[float]) -> dict[str, float]:
    """Give mean and 95 % quantile of the null, the p value, and the distance from the mean in deviations."""
    scores = np.asarray(null)
    deviation = scores.std(ddof=1)
    return {
        "null_mean": float(scores.mean()),
        "null_upper": float(np.quantile(scores, 0.95)),
        "p_value": float((1 + (scores >= score).sum()) / (1 + len(scores))),
        "effect": float((score - scores.mean()) / deviation) if deviation > 0 else float("nan"),
    }
