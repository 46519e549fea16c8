"""How a model is trained: statistics of the training cells, then its stages, then what it remembers."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from cellprism import _keys
from cellprism.data import CellDataset
from cellprism.models._registration import logger
from cellprism.models._training_cells import remember
from cellprism.training import Optimisation, Schedule, Stage, fit_stage, keep_in_memory, keep_on_device

if TYPE_CHECKING:
    from cellprism.models._base import LatentModel


class Training:
    """Run the stages of a recipe, and leave a usable model however they end."""

    def _train(
        self: "LatentModel",
        stages: list[Stage],
        *,
        train_indices: Sequence[int] | np.ndarray | None,
        validation_indices: Sequence[int] | np.ndarray | None,
        validation_size: float,
        schedule: Schedule,
        optimisation: Optimisation,
    ) -> None:
        dataset = keep_in_memory(self._require_dataset(), schedule.resident)
        training, validation = _split(len(dataset), train_indices, validation_indices, validation_size, self.seed_)
        if not self.is_trained_:
            with seeded(self.seed_):
                self._fit_statistics(dataset, training)
                self._prepare(dataset, looked_at(dataset, training))
        dataset = keep_on_device(dataset, schedule)
        self.train_indices_, self.validation_indices_ = training, validation
        first_epoch, interrupted = _epochs_in(self.history_), False
        with seeded(self.seed_ + first_epoch):
            for number, stage in enumerate(stages, start=1):
                parts = [_with_any(dataset, cells, stage.modalities) for cells in (training, validation)]
                fitted = fit_stage(
                    self.module,
                    dataset.only(stage.modalities),
                    stage,
                    training=parts[0],
                    validation=parts[1],
                    schedule=replace(schedule, max_epochs=stage.n_epochs or schedule.max_epochs),
                    optimisation=optimisation,
                    first_epoch=_epochs_in(self.history_),
                )
                self._add_history(fitted.history | _stage_curve(fitted.history, number, len(stages)))
                self._after_stage(stage, training)
                interrupted = interrupted or fitted.interrupted
                if fitted.error is not None or (fitted.interrupted and not stage.uses_codes):
                    break  # without encoders, codes alone would not make a usable model
        self._finish(dataset, training)
        if fitted.error is not None:
            raise fitted.error
        if interrupted:
            logger.warning("Training was interrupted; the model keeps the best weights so far and can be used.")

    def _prepare(self: "LatentModel", dataset: CellDataset, training: np.ndarray) -> None:
        """Start from something that follows from the training cells; nothing by default."""

    def _after_stage(self: "LatentModel", stage: Stage, training: np.ndarray) -> None:
        """What a recipe does between stages; nothing by default."""

    def _finish(self: "LatentModel", dataset: CellDataset, training: np.ndarray) -> None:
        self.is_trained_ = True
        remember(self, dataset, looked_at(dataset, training))

    def _fit_statistics(self: "LatentModel", dataset: CellDataset, training: np.ndarray) -> None:
        self.measured_batches_, chosen = {}, looked_at(dataset, training)
        for name, modality in self.registration.modalities.items():
            rows = dataset.rows_of(name, chosen)
            if not len(rows):
                raise ValueError(f"None of the {len(training)} training cells was measured in {name!r}. Choose others.")
            modality.check_together(rows, f"mdata[{name!r}]")
            self.module.coders[name].fit_statistics(rows)
            cells = training[dataset.is_observed(name)[training]]
            self.measured_batches_[name] = sorted(set(dataset.batch_codes[cells].tolist()))

    def _add_history(self: "LatentModel", history: dict[str, pd.DataFrame]) -> None:
        before = self.history_ or {}
        self.history_ = before | {
            name: pd.concat([before[name], frame]) if name in before else frame for name, frame in history.items()
        }


def looked_at(dataset: CellDataset, training: np.ndarray) -> np.ndarray:
    """Training cells that statistics are taken from: all of them or, in a file, two buffers of each modality's."""
    if not dataset.is_streamed:
        return training
    measured = [training[dataset.is_observed(name)[training]] for name in dataset.rows]
    return np.unique(np.concatenate([dataset.some_of(cells, 2 * dataset.buffer) for cells in measured]))


def at_least_one(**numbers: int | None) -> None:
    """Refuse numbers of epochs or cells below 1; ``None`` is the default."""
    for name, number in numbers.items():
        if number is not None and number < 1:
            raise ValueError(f"{name} is {number}; expected at least 1, or None for the default.")


def _stage_curve(history: dict[str, pd.DataFrame], number: int, n_stages: int) -> dict[str, pd.DataFrame]:
    """Say of each epoch to which stage it belongs, where there are several."""
    if n_stages == 1 or not history:
        return {}
    epochs = sorted(set().union(*(curve.index for curve in history.values())))
    return {_keys.STAGE: pd.DataFrame({_keys.STAGE: number}, index=pd.Index(epochs, name="epoch"))}


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Fix torch's random numbers inside the block, and leave the user's generator as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def _epochs_in(history: dict[str, pd.DataFrame] | None) -> int:
    """Epochs that a history holds; a stage that was interrupted in its first epoch has none."""
    return max((1 + int(curve.index.max()) for curve in (history or {}).values()), default=0)


def _split(
    n_cells: int,
    training: Sequence[int] | np.ndarray | None,
    validation: Sequence[int] | np.ndarray | None,
    size: float,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Cells to learn from, and cells to stop by; too few cells to spare give none to stop by."""
    chosen = np.arange(n_cells) if training is None else _rows(training, n_cells, "train_indices")
    if validation is not None:
        held_out = _rows(validation, n_cells, "validation_indices")
        chosen = np.setdiff1d(chosen, held_out)
    else:
        if not 0 <= size < 1:
            raise ValueError(f"validation_size is {size}; expected a share from 0 to below 1.")
        n_held_out = round(size * len(chosen))
        shuffled = np.random.default_rng(seed).permutation(chosen)
        held_out = np.sort(shuffled[:n_held_out]) if n_held_out >= 8 else chosen[:0]
        chosen = np.setdiff1d(chosen, held_out)
    if len(chosen) < 2:
        raise ValueError(f"There is {len(chosen)} cell to train on; expected at least 2.")
    return chosen, held_out


def _rows(indices: Sequence[int] | np.ndarray, n_cells: int, name: str) -> np.ndarray:
    rows = np.asarray(indices)
    rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(int)
    if len(rows) and (rows.min() < 0 or rows.max() >= n_cells):
        raise IndexError(f"{name} reaches from {rows.min()} to {rows.max()}; the data have rows 0 to {n_cells - 1}.")
    return np.unique(rows)


def _with_any(dataset: CellDataset, cells: np.ndarray, modalities: tuple[str, ...]) -> np.ndarray:
    present = np.zeros(len(dataset), dtype=bool)
    for modality in modalities:
        present |= dataset.is_observed(modality)
    return cells[present[cells]]
