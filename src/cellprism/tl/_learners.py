"""Predictors of held-out cells that are set up once on a block and then fitted to many targets.

Each is made from the block of the training and of the held-out cells. Called with targets of the training cells,
cells x outputs, it gives predictions for the held-out cells. What does not depend on the targets is done once, so
that fitting permuted targets is cheap.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

Learner = Callable[[np.ndarray], np.ndarray]
"""Targets of the training cells to predictions for the held-out cells."""

Model = Literal["linear", "nonlinear"]

PENALTIES = np.logspace(-6, 4, 21)
"""Ridge penalties to choose from, per training cell, for a block whose columns have unit variance."""

_N_TREES = 30
_CELLS_PER_LEAF = 5


class Ridge:
    r"""Ridge regression on the standardised block, with a penalty for each output.

    With :math:`X = U S V^\top` and shrinkage :math:`d_r = s_r^2 / (s_r^2 + \lambda)`, the penalty is the one of
    :data:`PENALTIES` with the least generalised cross-validation error
    :math:`\lVert y - U d U^\top y \rVert^2 / (n - 1 - \sum_r d_r)^2`.

    Parameters
    ----------
    training, held_out
        The block of the training and of the held-out cells.
    """

    def __init__(self, training: Float[np.ndarray, "training width"], held_out: Float[np.ndarray, "held_out width"]):
        mean, scale = training.mean(axis=0), training.std(axis=0)
        scale = np.where(scale > 0, scale, 1)
        self._left, singular, right = np.linalg.svd((training - mean) / scale, full_matrices=False)
        self._held_out = (held_out - mean) / scale @ right.T
        penalties = PENALTIES[:, None] * len(training)
        self._shrinkage = singular**2 / (singular**2 + penalties)
        self._inverse = singular / (singular**2 + penalties)
        self._n_free = np.maximum(len(training) - 1 - self._shrinkage.sum(axis=1), 1e-8)

    def __call__(self, targets: Float[np.ndarray, "training outputs"]) -> Float[np.ndarray, "held_out outputs"]:
        """Predict the held-out cells."""
        return self.fit(targets).held_out

    def fit(self, targets: Float[np.ndarray, "training outputs"]) -> "Fitted":
        """Predict the training and the held-out cells."""
        mean = targets.mean(axis=0)
        projected = self._left.T @ (targets - mean)
        chosen = self._chosen_penalties(((targets - mean) ** 2).sum(axis=0), projected)
        return Fitted(
            self._left @ (self._shrinkage[chosen].T * projected) + mean,
            self._held_out @ (self._inverse[chosen].T * projected) + mean,
        )

    def _chosen_penalties(self, total: np.ndarray, projected: np.ndarray) -> np.ndarray:
        explained = (1 - (1 - self._shrinkage) ** 2) @ projected**2
        return np.argmin((total - explained) / self._n_free[:, None] ** 2, axis=0)


class Fitted(NamedTuple):
    """Predictions for the training cells, which were seen, and for the held-out cells."""

    training: np.ndarray
    held_out: np.ndarray


class Discriminant:
    """Linear discriminant analysis on the ridge regression of the classes, one class an output.

    Without a penalty it is linear discriminant analysis on the block itself :cite:p:`hastie1994`. Predictions are
    log odds of each class against all others.

    Parameters
    ----------
    training, held_out
        The block of the training and of the held-out cells.
    """

    def __init__(self, training: Float[np.ndarray, "training width"], held_out: Float[np.ndarray, "held_out width"]):
        self._ridge = Ridge(training, held_out)

    def __call__(self, targets: Float[np.ndarray, "training classes"]) -> Float[np.ndarray, "held_out classes"]:
        """Predict the held-out cells from the 0-1 columns of the training cells."""
        fitted = self._ridge.fit(targets)
        n_cells = targets.sum(axis=0)
        means = targets.T @ fitted.training / np.maximum(n_cells, 1)[:, None]
        deviations = fitted.training - targets @ means
        within = deviations.T @ deviations / len(targets)
        within += np.eye(len(within)) * max(1e-9 * np.trace(within), 1e-12)
        weights = np.linalg.solve(within, means.T)
        with np.errstate(divide="ignore"):
            prior = np.log(n_cells / n_cells.sum())
        return _log_odds(fitted.held_out @ weights - 0.5 * (means.T * weights).sum(axis=0) + prior)


def _log_odds(scores: np.ndarray) -> np.ndarray:
    """Give log odds of each class from scores that are log probabilities up to a constant of each cell."""
    from scipy.special import logsumexp

    others = [logsumexp(np.delete(scores, k, axis=1), axis=1) for k in range(scores.shape[1])]
    return scores - np.stack(others, axis=1)


class Trees:
    """Extremely randomised trees, which see squares and products of the block's columns; all outputs in one.

    Parameters
    ----------
    training, held_out
        The block of the training and of the held-out cells.
    seed
        Fixes the trees.
    """

    def __init__(
        self,
        training: Float[np.ndarray, "training width"],
        held_out: Float[np.ndarray, "held_out width"],
        *,
        seed: int,
    ):
        self._training, self._held_out, self._seed = training, held_out, seed

    def __call__(self, targets: Float[np.ndarray, "training outputs"]) -> Float[np.ndarray, "held_out outputs"]:
        """Predict the held-out cells."""
        from sklearn.ensemble import ExtraTreesRegressor

        trees = ExtraTreesRegressor(_N_TREES, min_samples_leaf=_CELLS_PER_LEAF, random_state=self._seed)
        trees.fit(self._training, targets[:, 0] if targets.shape[1] == 1 else targets)
        return trees.predict(self._held_out).reshape(len(self._held_out), -1)


def check_model(model: str) -> None:
    """Raise unless it is a model there is."""
    if model not in ("linear", "nonlinear"):
        raise ValueError(f"Found model={model!r}, expected 'linear' or 'nonlinear'.")
