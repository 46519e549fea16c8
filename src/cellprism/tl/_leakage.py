"""What private blocks know that they should not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from cellprism._keys import SHARED
from cellprism.tl._components import component_scores, fit_components
from cellprism.tl._cross_fitting import (
    CrossFit,
    as_block,
    common_length,
    cross_fit,
    fold_numbers,
    group_codes,
    shuffled_rows,
)
from cellprism.tl._learners import Model, check_model
from cellprism.tl._matrices import Labels, Matrix, flattened
from cellprism.tl._permutation_null import beside_null, chosen_permutations


def leakage(
    shared: np.ndarray,
    private: Mapping[str, np.ndarray],
    measured: Mapping[str, Matrix],
    *,
    groups: Labels | None = None,
    n_components: int = 30,
    n_folds: int = 5,
    n_permutations: int | None = None,
    model: Model = "linear",
    seed: int = 0,
) -> pd.DataFrame:
    r"""Score how well each private block predicts the other modalities, and how much of the shared block it repeats.

    A private block should know nothing of either beyond chance. The score is pooled over folds and outputs,

    .. math:: 1 - \frac{\sum_{ij} (y_{ij} - \hat{y}_{ij})^2}{\sum_{ij} (y_{ij} - \bar{y}_j)^2}

    with :math:`\hat{y}` and :math:`\bar{y}` (the mean) from the training cells of the fold: 0 is as good as the mean.

    Parameters
    ----------
    shared
        Embedding of the shared block, cells x width. Row i is the same cell everywhere. Cells without an embedding
        have NaN.
    private
        Modality to the embedding of its private block, cells x width.
    measured
        Modality to what was measured, cells x features or images, transformed (for counts see :func:`log_normalize`).
        Cells that were not measured have NaN.
    groups
        One group per cell, such as its donor. All cells of a group are held out together, and permutations stay
        within groups.
    n_components
        Principal components of a modality that are predicted, fitted on the training cells of each fold; fewer if
        there are fewer.
    n_folds
        Number of folds.
    n_permutations
        Number of permutations of the cells. By default 100, or 20 for ``"nonlinear"``.
    model
        ``"linear"``: ridge regression. ``"nonlinear"``: extremely randomised trees, which see squares and products as
        well, and take minutes rather than seconds.
    seed
        Fixes folds, permutations and trees.

    Returns
    -------
    DataFrame with one row per private block and target. Targets are the other modalities, and ``"shared"``.

    - ``score``: as above, of predictions from the private block.
    - ``null_mean``, ``null_upper``: mean and 95 % quantile of the scores when targets are permuted among cells.
    - ``p_value``: (1 + permuted scores that reach the score) / (1 + number of permutations).
    - ``effect``: score minus ``null_mean``, in standard deviations of the null.
    - ``reference``: what could be known, on the same cells and folds. For a modality, the score from the shared block;
      for the shared block, the score from the components of the private block's own modality (NaN if that is not in
      ``measured``).
    - ``n_cells``: cells that have all that a row compares.

    Notes
    -----
    Where private variation truly depends on the shared one, a private block that is right scores above the null.

    Raises
    ------
    ValueError
        If numbers of cells differ, a modality is called ``"shared"``, nothing is left to compare, or an option is
        out of range.

    Examples
    --------
    >>> import numpy as np
    >>> random = np.random.default_rng(0)
    >>> shared, rna, atac = random.normal(size=(3, 200, 2))
    >>> measured = {"rna": np.hstack([shared, rna]), "atac": np.hstack([shared, atac])}
    >>> scores = leakage(shared, {"rna": rna, "atac": np.hstack([atac, shared[:, :1]])}, measured)
    >>> scores.loc[scores["p_value"] < 0.05, ["block", "target", "score", "reference"]].round(1).to_numpy().tolist()
    [['atac', 'rna', 0.2, 0.5], ['atac', 'shared', 0.5, 1.0]]
    """
    check_model(model)
    settings = _Settings(n_components, n_folds, chosen_permutations(n_permutations, model), model, seed)
    _check_names(private, measured)
    blocks = {name: as_block(name, block) for name, block in private.items()}
    cells = _Cells(as_block(SHARED, shared), {name: flattened(matrix) for name, matrix in measured.items()})
    n_cells = common_length(
        {SHARED: cells.shared, **{f"private {m}": block for m, block in blocks.items()}, **measured}
    )
    codes = group_codes(groups, n_cells)
    rows = []
    for name, block in blocks.items():
        for target in [*(other for other in measured if other != name), SHARED]:
            rows.append({"block": name, "target": target, **_compare(name, block, target, cells, codes, settings)})
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class _Settings:
    n_components: int
    n_folds: int
    n_permutations: int
    model: Model
    seed: int

    def fit(self, block: np.ndarray, fold_of: np.ndarray) -> CrossFit:
        return cross_fit(block, fold_of, self.model, seed=self.seed)


@dataclass(frozen=True)
class _Cells:
    """The shared block and the measured modalities of the same cells."""

    shared: np.ndarray
    measured: dict[str, Matrix]


def _compare(
    name: str, block: np.ndarray, target: str, cells: _Cells, groups: np.ndarray | None, settings: _Settings
) -> dict[str, float]:
    """Score one private block for one target, on the cells that have all that is compared."""
    matrix = cells.measured.get(name if target == SHARED else target)
    usable = np.isfinite(block).all(axis=1) & np.isfinite(cells.shared).all(axis=1)
    rows = np.flatnonzero(usable if matrix is None else usable & _is_measured(matrix))
    _check_enough(name, target, len(rows), settings.n_folds)
    shared, matrix = cells.shared[rows], None if matrix is None else _taken(matrix, rows)
    groups = None if groups is None else groups[rows]
    fold_of = fold_numbers(len(rows), settings.n_folds, groups=groups, seed=settings.seed)
    fit = settings.fit(block[rows], fold_of)
    if target == SHARED:
        targets = [shared] * settings.n_folds
        knows = None if matrix is None else _components(matrix, slice(None), settings.n_components)
    else:
        targets = [_components(matrix, fold.training, settings.n_components) for fold in fit.folds]
        knows = shared
    orders = shuffled_rows(fold_of, groups, settings.n_permutations, seed=settings.seed)
    score = _pooled_r2(fit, targets)
    null = beside_null(score, [_pooled_r2(fit, [values[order] for values in targets]) for order in orders])
    reference = float("nan") if knows is None else _pooled_r2(settings.fit(knows, fold_of), targets)
    return {"score": score, **null, "reference": reference, "n_cells": len(rows)}


def _pooled_r2(fit: CrossFit, targets: Sequence[np.ndarray]) -> float:
    """Share of the targets' squares about the training mean that is predicted, with targets for each fold."""
    missed = total = 0.0
    for fold, values in zip(fit.folds, targets, strict=True):
        training, held_out = values[fold.training], values[fold.held_out]
        missed += ((held_out - fold.learner(training)) ** 2).sum()
        total += ((held_out - training.mean(axis=0)) ** 2).sum()
    return float(1 - missed / total) if total > 0 else float("nan")


def _components(matrix: Matrix, training: np.ndarray | slice, n_components: int) -> np.ndarray:
    """Give the components of all cells, fitted on the training cells."""
    return component_scores(fit_components(_taken(matrix, training), n_components), matrix)


def _taken(matrix: Matrix, rows: np.ndarray | slice) -> Matrix:
    return matrix.tocsr()[rows] if sparse.issparse(matrix) else matrix[rows]


def _is_measured(matrix: Matrix) -> np.ndarray:
    """Tell which cells have finite values only."""
    if not sparse.issparse(matrix):
        return np.isfinite(matrix).all(axis=1)
    entries = matrix.tocoo()
    return np.bincount(entries.row[~np.isfinite(entries.data)], minlength=matrix.shape[0]) == 0


def _check_names(private: Mapping[str, np.ndarray], measured: Mapping[str, Matrix]) -> None:
    if SHARED in private or SHARED in measured:
        raise ValueError(f"Found a modality called {SHARED!r}, which names the shared block. Call it something else.")
    if not private:
        raise ValueError("Found no private block, expected at least one: private={'rna': mdata['rna'].obsm[...]}.")


def _check_enough(name: str, target: str, n_cells: int, n_folds: int) -> None:
    if n_cells < 2 * n_folds:
        raise ValueError(
            f"Found {n_cells} cells that have the shared block, the private block of {name!r} and {target!r}, "
            f"expected at least {2 * n_folds}. Give such cells, or lower n_folds={n_folds}."
        )
