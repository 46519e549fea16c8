"""Which block of a latent space carries which factor or covariate."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cellprism.tl._cross_fitting import as_block, common_length, cross_fit, fold_numbers, group_codes, shuffled_rows
from cellprism.tl._learners import Model, check_model
from cellprism.tl._matrices import Labels
from cellprism.tl._permutation_null import beside_null, chosen_permutations
from cellprism.tl._probe_scores import Score, bootstrap_interval, weighted_auroc, weighted_r2
from cellprism.tl._probe_targets import Target, as_target


def probe(
    blocks: Mapping[str, np.ndarray],
    targets: pd.DataFrame | Mapping[str, Labels],
    *,
    groups: Labels | None = None,
    n_folds: int = 5,
    n_permutations: int | None = None,
    model: Model = "linear",
    seed: int = 0,
) -> pd.DataFrame:
    """Score how well each block predicts each covariate of cells that the predictor did not see.

    Unlike a silhouette, which sees what dominates a block, a probe sees what varies little in it as well. Every score
    stands beside a null: the same procedure, with the covariate permuted.

    Parameters
    ----------
    blocks
        Name of a block to its embedding, cells x width, such as ``{"shared": mdata.obsm["X_shared"]}``. Row i is the
        same cell in all of them. Cells without an embedding have NaN.
    targets
        Covariates or factors, one value per cell: columns of ``.obs``, or name to values. Text, categories and
        booleans are classes, all else are numbers.
    groups
        One group per cell, such as its donor. All cells of a group are held out together; permutations stay within
        groups, or exchange whole groups where the covariate is one of groups; intervals are over groups.
    n_folds
        Number of folds.
    n_permutations
        Number of permuted copies of each covariate. By default 100, or 20 for ``"nonlinear"``.
    model
        ``"linear"``: ridge regression for numbers, and for classes linear discriminant analysis on it. Takes seconds
        for 5,000 cells, a block of 50 and 100 permutations. ``"nonlinear"``: extremely randomised trees, which
        see squares and products as well. Take about a second for each permutation, for 2,000 cells and a block of 50.
    seed
        Fixes folds, permutations, resampling and trees.

    Returns
    -------
    DataFrame with one row per block and target.

    - ``metric``: ``"auroc"`` for classes: area under the ROC curve of each class against the rest, mean over
      classes, chance 0.5; ``"r2"`` for numbers: coefficient of determination, 0 for predicting the mean.
    - ``score``: of the predictions for all cells, each made without that cell's fold.
    - ``lower``, ``upper``: 95 % interval by resampling the cells (or groups) of these predictions.
    - ``null_mean``, ``null_upper``: mean and 95 % quantile of the scores of permuted targets.
    - ``p_value``: (1 + permuted scores that reach the score) / (1 + number of permutations).
    - ``effect``: score minus ``null_mean``, in standard deviations of the null.
    - ``n_cells``: cells that were used: those with an embedding and a value, without classes of fewer than
      ``n_folds`` cells.

    Notes
    -----
    Permuted targets are fitted anew, with folds and choice of penalty as for the target itself. So the p value is
    exact if cells (or groups) are exchangeable.

    Raises
    ------
    ValueError
        If numbers of cells differ, a target has a single value or class, or an option is out of range.

    References
    ----------
    Linear discriminant analysis by regression: :cite:p:`hastie1994`. Trees: :cite:p:`geurts2006`.

    Examples
    --------
    >>> import numpy as np
    >>> block = np.random.default_rng(0).normal(size=(200, 3))
    >>> scores = probe({"shared": block}, {"treated": block[:, 0] > 0, "size": block[:, 1]})
    >>> scores[["block", "target", "metric", "p_value"]].round(2).to_numpy().tolist()
    [['shared', 'treated', 'auroc', 0.01], ['shared', 'size', 'r2', 0.01]]
    """
    check_model(model)
    settings = _Settings(n_folds, chosen_permutations(n_permutations, model), model, seed)
    embeddings = {name: as_block(name, block) for name, block in blocks.items()}
    n_cells = common_length(embeddings)
    covariates = [as_target(str(name), values, n_cells) for name, values in targets.items()]
    if not covariates:
        raise ValueError("Found no targets, expected at least one. Give columns of .obs, or name to values.")
    codes = group_codes(groups, n_cells)
    rows = [
        {"block": name, "target": target.name, "metric": target.metric, **_probe(name, block, target, codes, settings)}
        for name, block in embeddings.items()
        for target in covariates
    ]
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class _Settings:
    n_folds: int
    n_permutations: int
    model: Model
    seed: int


def _probe(
    name: str, block: np.ndarray, target: Target, groups: np.ndarray | None, settings: _Settings
) -> dict[str, float]:
    """Score one block for one target."""
    rows = target.usable(np.isfinite(block).all(axis=1), settings.n_folds)
    observed, groups = target.outputs(rows), None if groups is None else groups[rows]
    _check_usable(name, target, observed, settings.n_folds)
    classes = observed.argmax(axis=1) if target.has_classes else None
    n_cells, seed = len(observed), settings.seed
    fold_of = fold_numbers(n_cells, settings.n_folds, classes=classes, groups=groups, seed=seed)
    fit = cross_fit(block[rows], fold_of, settings.model, of_classes=target.has_classes, seed=seed)

    def scored(outputs: np.ndarray) -> Score:
        return (weighted_auroc if target.has_classes else weighted_r2)(outputs, fit.predict(outputs))

    is_constant = groups is not None and _is_constant(observed, groups)
    orders = shuffled_rows(fold_of, groups, settings.n_permutations, constant_in_groups=is_constant, seed=seed)
    score, weights = scored(observed), np.ones(n_cells)
    lower, upper = bootstrap_interval(score, groups, n_cells, seed)
    null = beside_null(score(weights), [scored(observed[order])(weights) for order in orders])
    return {"score": score(weights), "lower": lower, "upper": upper, **null, "n_cells": n_cells}


def _is_constant(observed: np.ndarray, groups: np.ndarray) -> bool:
    """Whether all cells of a group have the same value."""
    _, first, code = np.unique(groups, return_index=True, return_inverse=True)
    return bool((observed == observed[first][code]).all())


def _check_usable(name: str, target: Target, observed: np.ndarray, n_folds: int) -> None:
    n_values = len(np.unique(observed, axis=0))
    if len(observed) >= 2 * n_folds and n_values >= 2:
        return
    kind = f"classes of at least {n_folds} cells each" if target.has_classes else "different values"
    raise ValueError(
        f"Found {len(observed)} usable cells with {n_values} {kind} of target {target.name!r} for block {name!r}, "
        f"expected at least {2 * n_folds} cells and 2 such. Leave this target out, or lower n_folds={n_folds}."
    )
