"""Every cell predicted from a block by a learner that did not see it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from cellprism.tl._learners import Discriminant, Learner, Model, Ridge, Trees
from cellprism.tl._matrices import Labels, Matrix


def as_block(name: str, block: np.ndarray) -> Float[np.ndarray, "cells width"]:
    """Give the embedding of a block as numbers, after checking that it is cells x width."""
    embedding = np.asarray(block, dtype=np.float64)
    if embedding.ndim != 2 or not embedding.shape[1]:
        raise ValueError(
            f"Found block {name!r} of shape {embedding.shape}, expected (cells, width). "
            "Give one row per cell: a single dimension is block[:, None]."
        )
    return embedding


def common_length(matrices: Mapping[str, Matrix]) -> int:
    """Give the number of cells, which is the same for all."""
    lengths = {name: matrix.shape[0] for name, matrix in matrices.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(
            f"Found {lengths} cells, expected one or more arrays with the same number. Give the same cells in one "
            "order, with rows of NaN for cells that one of them lacks."
        )
    return next(iter(lengths.values()))


@dataclass(frozen=True)
class Fold:
    """Rows of the training and of the held-out cells, and what predicts the ones from the others."""

    training: np.ndarray
    held_out: np.ndarray
    learner: Learner


@dataclass(frozen=True)
class CrossFit:
    """A block set up for cross-fitted predictions of any target."""

    folds: tuple[Fold, ...]

    def predict(self, targets: Float[np.ndarray, "cells outputs"]) -> Float[np.ndarray, "cells outputs"]:
        """Predict every cell by the learner of its fold."""
        predicted = np.empty_like(targets)
        for fold in self.folds:
            predicted[fold.held_out] = fold.learner(targets[fold.training])
        return predicted


def cross_fit(
    block: Float[np.ndarray, "cells width"],
    fold_of: Int[np.ndarray, " cells"],
    model: Model,
    *,
    of_classes: bool = False,
    seed: int = 0,
) -> CrossFit:
    """Set up a learner for each fold; for classes, the linear one gives log odds."""
    folds = []
    for number in np.unique(fold_of):
        training, held_out = np.flatnonzero(fold_of != number), np.flatnonzero(fold_of == number)
        sides = block[training], block[held_out]
        if model == "nonlinear":
            learner = Trees(*sides, seed=seed)
        else:
            learner = Discriminant(*sides) if of_classes else Ridge(*sides)
        folds.append(Fold(training, held_out, learner))
    return CrossFit(tuple(folds))


def fold_numbers(
    n_cells: int,
    n_folds: int,
    *,
    classes: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> Int[np.ndarray, " cells"]:
    """Give the fold of each cell: groups stay together, else classes are spread evenly."""
    from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold

    _check_folds(n_cells, n_folds, groups)
    if groups is not None:
        splitter = GroupKFold(n_folds)
    elif classes is not None:
        splitter = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    else:
        splitter = KFold(n_folds, shuffle=True, random_state=seed)
    numbers = np.empty(n_cells, dtype=np.int64)
    for number, (_, held_out) in enumerate(splitter.split(np.zeros((n_cells, 1)), classes, groups)):
        numbers[held_out] = number
    return numbers


def _check_folds(n_cells: int, n_folds: int, groups: np.ndarray | None) -> None:
    if not 2 <= n_folds <= n_cells // 2:
        raise ValueError(
            f"Found n_folds={n_folds} for {n_cells} cells, expected at least 2 folds of at least 2 cells each."
        )
    if groups is not None and len(np.unique(groups)) < n_folds:
        raise ValueError(
            f"Found {len(np.unique(groups))} groups for n_folds={n_folds}, expected at least one group per fold. "
            "Lower n_folds."
        )


def group_codes(groups: Labels | None, n_cells: int) -> Int[np.ndarray, " cells"] | None:
    """Number the groups, after checking that each cell has one."""
    if groups is None:
        return None
    if len(groups) != n_cells:
        raise ValueError(f"Found {len(groups)} groups for {n_cells} cells, expected one per cell.")
    codes, _ = pd.factorize(np.asarray(groups, dtype=object))
    if (codes < 0).any():
        raise ValueError(f"Found {(codes < 0).sum()} cells without a group, expected none. Leave these cells out.")
    return codes.astype(np.int64)


def shuffled_rows(
    fold_of: Int[np.ndarray, " cells"],
    groups: Int[np.ndarray, " cells"] | None,
    n_permutations: int,
    *,
    constant_in_groups: bool = False,
    seed: int = 0,
) -> Iterator[Int[np.ndarray, " cells"]]:
    """Give for each permutation the row whose target each cell gets.

    Without groups, cells exchange targets within their fold, which keeps classes spread over folds as they are.
    With groups, they do so within their group; where all cells of a group have one target, the groups exchange it.
    """
    random = np.random.default_rng(seed)
    for _ in range(n_permutations):
        if groups is not None and constant_in_groups:
            _, first, code = np.unique(groups, return_index=True, return_inverse=True)
            yield random.permutation(first)[code]
        else:
            yield _shuffled_within(fold_of if groups is None else groups, random)


def _shuffled_within(strata: np.ndarray, random: np.random.Generator) -> np.ndarray:
    rows = np.empty(len(strata), dtype=np.int64)
    rows[np.argsort(strata, kind="stable")] = np.lexsort((random.random(len(strata)), strata))
    return rows
