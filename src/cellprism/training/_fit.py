"""Run one stage with Lightning, quietly, and leave a usable model however it ends."""

import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pandas as pd
from lightning.pytorch.callbacks import Callback
from torch import nn

from cellprism.data import CellDataset, CellLoader
from cellprism.module import LatentModule
from cellprism.training._callbacks import CloseCurves, KeepBest, Progress
from cellprism.training._compiled import compiled
from cellprism.training._meter import Meter
from cellprism.training._plan import TrainingPlan
from cellprism.training._stage import Optimisation, Stage


@dataclass(frozen=True)
class Schedule:
    """How long and on what training runs.

    Parameters
    ----------
    max_epochs
        Epochs at most.
    batch_size
        Cells a minibatch.
    patience
        Epochs without improvement of the held-out loss after which a stage stops; ``None`` never stops.
    seed
        Fixes the order of cells.
    show_progress
        Show a progress bar.
    accelerator, devices, precision
        Handed to :class:`lightning.pytorch.Trainer`.
    compile
        Compile the networks.
    callbacks
        Further Lightning callbacks.
    resident
        Whether all rows are kept in memory, on the device; ``None`` decides from the free memory.
    """

    max_epochs: int
    batch_size: int = 128
    patience: int | None = 30
    seed: int = 0
    show_progress: bool = True
    accelerator: str = "auto"
    devices: Any = "auto"
    precision: Any = None
    compile: bool = False
    callbacks: tuple[Callback, ...] = ()
    resident: bool | None = None


@dataclass(frozen=True)
class Fitted:
    """What a stage left.

    Parameters
    ----------
    history
        Curves.
    interrupted
        Whether the user stopped it.
    error
        What stopped it: a loss or gradient that was not finite.
    """

    history: dict[str, pd.DataFrame]
    interrupted: bool
    error: FloatingPointError | None = None


def fit_stage(
    module: LatentModule,
    dataset: CellDataset,
    stage: Stage,
    *,
    training: np.ndarray,
    validation: np.ndarray,
    schedule: Schedule,
    optimisation: Optimisation,
    first_epoch: int = 0,
) -> Fitted:
    """Train one stage; cut short, by early stopping or otherwise, it leaves the weights with the best held-out loss.

    Parameters
    ----------
    module
        What is trained.
    dataset
        The cells.
    stage
        What is minimised.
    training, validation
        Rows of the data set to learn from, and to stop by.
    schedule
        How long and on what.
    optimisation
        How weights move.
    first_epoch
        Number of the first epoch in the history.

    Returns
    -------
    The curves and why it ended. A term or gradient that is not finite is told in ``error``; the best weights are
    kept.
    """
    plan = TrainingPlan(module, stage, optimisation=optimisation, max_epochs=schedule.max_epochs)
    frozen = [parameter for parameter in _frozen(module, stage) if parameter.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(False)
    keeper = KeepBest(schedule.patience)
    loaders = [
        CellLoader(dataset, cells, batch_size=schedule.batch_size, shuffle=shuffle, seed=schedule.seed)
        for cells, shuffle in ((training, True), (validation, False))
        if len(cells)
    ]
    trainer = _trainer(schedule, stage, keeper)
    interrupted, error = False, None
    try:
        with compiled(module, wanted=schedule.compile):
            interrupted = _run(trainer, plan, loaders)
    except FloatingPointError as stopped:
        error = stopped
    finally:
        keeper.restore(plan, schedule.max_epochs)
        for parameter in frozen:
            parameter.requires_grad_(True)
        module.to(trainer.strategy.root_device)
        module.eval()
    return Fitted(plan.curves.frames(first_epoch), interrupted, error)


def _frozen(module: LatentModule, stage: Stage) -> Iterator[nn.Parameter]:
    """Weights that a stage leaves as they are."""
    for modality, coder in module.coders.items():
        if modality in stage.frozen:
            yield from coder.parameters()
            yield from module.sources[modality].parameters()
        elif stage.has_frozen_decoders:
            yield from coder.decoding_parameters()


def _trainer(schedule: Schedule, stage: Stage, keeper: KeepBest) -> pl.Trainer:
    callbacks = [Meter(), CloseCurves(), keeper, *schedule.callbacks]
    if schedule.show_progress:
        callbacks.append(Progress(schedule.max_epochs, stage.name))
    with _quiet():
        return pl.Trainer(
            max_epochs=schedule.max_epochs,
            accelerator=schedule.accelerator,
            devices=schedule.devices,
            precision=schedule.precision,
            callbacks=callbacks,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            num_sanity_val_steps=0,
            inference_mode=False,
        )


def _run(trainer: pl.Trainer, plan: TrainingPlan, loaders: list) -> bool:
    """Fit; give whether the user interrupted."""
    with _quiet(), _interrupts(trainer) as interrupted:
        try:
            trainer.fit(plan, *loaders)
        except (KeyboardInterrupt, SystemExit) as stop:
            # Lightning turns a KeyboardInterrupt into SystemExit(1)
            if isinstance(stop, SystemExit) and not isinstance(stop.__context__, KeyboardInterrupt):
                raise
            interrupted.append(True)
    return bool(interrupted)


@contextmanager
def _interrupts(trainer: pl.Trainer) -> Iterator[list[bool]]:
    """Let the first Ctrl-C end training after the step at hand; the second one ends it at once."""
    interrupted: list[bool] = []
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    previous = signal.getsignal(signal.SIGINT)

    def stop(signum: int, frame: Any) -> None:
        if interrupted:
            raise KeyboardInterrupt
        interrupted.append(True)
        trainer.should_stop = True

    signal.signal(signal.SIGINT, stop)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, previous)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's banners and its advice on loaders from the user."""
    loggers = [logging.getLogger(f"lightning.{name}") for name in ("pytorch", "fabric")]
    loggers += [logging.getLogger("lightning.pytorch.utilities.rank_zero")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
