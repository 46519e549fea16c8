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
from lightning.pytorch.strategies import Strategy
from torch import distributed, nn

from cellprism.data import CellDataset
from cellprism.module import LatentModule
from cellprism.training._callbacks import CloseCurves, KeepBest, Progress
from cellprism.training._cells import Cells
from cellprism.training._compiled import compiled
from cellprism.training._meter import Meter
from cellprism.training._plan import TrainingPlan
from cellprism.training._processes import choose_strategy
from cellprism.training._stage import Optimisation, Stage
from cellprism.training._together import Together


@dataclass(frozen=True)
class Schedule:
    """How long and on what training runs.

    Parameters
    ----------
    max_epochs
        Epochs at most.
    batch_size
        Cells a minibatch, in each process.
    patience
        Epochs without improvement of the held-out loss after which a stage stops; ``None`` never stops.
    seed
        Fixes the order of cells.
    show_progress
        Show a progress bar.
    accelerator, precision
        Handed to :class:`lightning.pytorch.Trainer`.
    devices
        Likewise, but ``"auto"`` is one device.
    strategy
        As for :func:`~cellprism.training._processes.choose_strategy`.
    num_nodes
        Machines.
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
    strategy: str | Strategy = "auto"
    num_nodes: int = 1
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
    trainer = _trainer(schedule, stage)
    cells = Cells(dataset, training, validation, batch_size=schedule.batch_size, seed=schedule.seed)
    try:
        with compiled(module, wanted=schedule.compile):
            _run(trainer, plan, cells)
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)
        if trainer.world_size == 1 or distributed.is_initialized():  # else forked, which a GPU in use here would forbid
            module.to(trainer.strategy.root_device)
        module.eval()
        _release(trainer, module)
    error = None if plan.error is None else FloatingPointError(plan.error)
    return Fitted(plan.curves.frames(first_epoch), plan.is_interrupted, error)


def _release(trainer: pl.Trainer, module: LatentModule) -> None:
    """Give back gradients and moments, thrice the memory of the weights, which a trainer's circles would keep."""
    module.zero_grad(set_to_none=True)
    for optimiser in trainer.optimizers:
        optimiser.state.clear()


def _frozen(module: LatentModule, stage: Stage) -> Iterator[nn.Parameter]:
    """Weights that a stage leaves as they are."""
    for modality, coder in module.coders.items():
        if modality in stage.frozen:
            yield from coder.parameters()
            yield from module.sources[modality].parameters()
        elif stage.has_frozen_decoders:
            yield from coder.decoding_parameters()


def _trainer(schedule: Schedule, stage: Stage) -> pl.Trainer:
    callbacks = [Meter(), CloseCurves(), KeepBest(schedule.patience), Together(), *schedule.callbacks]
    if schedule.show_progress:
        callbacks.append(Progress(schedule.max_epochs, stage.name))
    return trainer_on_devices(
        schedule,
        max_epochs=schedule.max_epochs,
        use_distributed_sampler=False,
        precision=schedule.precision,
        callbacks=callbacks,
        enable_model_summary=False,
        enable_progress_bar=False,
        num_sanity_val_steps=0,
        inference_mode=False,
    )


def trainer_on_devices(schedule: Schedule, **settings: Any) -> pl.Trainer:
    """Let Lightning choose the devices, one unless several are asked for, and how processes start on them."""
    devices = 1 if schedule.devices == "auto" else schedule.devices
    with quiet():
        return pl.Trainer(
            accelerator=schedule.accelerator,
            devices=devices,
            strategy=choose_strategy(devices, schedule.strategy, schedule.num_nodes),
            num_nodes=schedule.num_nodes,
            logger=False,
            enable_checkpointing=False,
            **settings,
        )


def _run(trainer: pl.Trainer, plan: TrainingPlan, cells: Cells) -> None:
    """Fit, and note whether the user interrupted."""
    with quiet(), _interrupts(trainer, plan):
        try:
            trainer.fit(plan, datamodule=cells)
        except (KeyboardInterrupt, SystemExit) as stop:
            # Lightning turns a KeyboardInterrupt into SystemExit(1)
            if isinstance(stop, SystemExit) and not isinstance(stop.__context__, KeyboardInterrupt):
                raise
            if trainer.world_size > 1:
                raise KeyboardInterrupt from stop  # other processes were left at another step
            plan.is_interrupted = True


@contextmanager
def _interrupts(trainer: pl.Trainer, plan: TrainingPlan) -> Iterator[None]:
    """Let the first Ctrl-C end training after the step at hand; the second one ends it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.getsignal(signal.SIGINT)

    def stop(signum: int, frame: Any) -> None:
        if plan.is_interrupted:
            raise KeyboardInterrupt
        plan.is_interrupted = True
        if trainer.world_size == 1:  # several processes stop at the same step, of which the plan takes care
            trainer.should_stop = True

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


@contextmanager
def quiet() -> Iterator[None]:
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
