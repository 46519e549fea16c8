"""What happens between epochs: stopping early, keeping the best weights, showing progress."""

import math
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from tqdm import tqdm

from cellprism.training._plan import TrainingPlan
from cellprism.training._processes import gathered


class CloseCurves(Callback):
    """Add a point to every curve when an epoch ends; comes first, since the others read the curves."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: TrainingPlan) -> None:  # type: ignore[override]
        """Close the epoch, unless it broke off."""
        if pl_module.error is None:
            pl_module.curves.close_epoch(trainer.current_epoch, lambda own: gathered(trainer, own))


class KeepBest(Callback):
    """Remember the weights with the lowest held-out loss, and stop when it has not improved for a while.

    A run that reaches the end of its schedule, where steps have become small, keeps its last weights; one that is
    cut short goes back to its best.

    Parameters
    ----------
    patience
        Epochs without improvement after which training stops; ``None`` never stops.
    """

    def __init__(self, patience: int | None) -> None:
        self.patience = patience
        self.best_loss = float("inf")
        self.best_epoch = -1
        self.n_scored = 0
        self.best_weights: dict[str, torch.Tensor] | None = None

    def on_train_epoch_end(self, trainer: Trainer, pl_module: TrainingPlan) -> None:  # type: ignore[override]
        """Compare this epoch with the best one."""
        loss = pl_module.curves.at("validation_loss", trainer.current_epoch)
        if math.isnan(loss):
            return
        self.n_scored += 1
        if loss < self.best_loss:
            self.best_loss, self.best_epoch = loss, trainer.current_epoch
            self.best_weights = {k: v.detach().clone() for k, v in pl_module.module.state_dict().items()}
        elif self.patience is not None and trainer.current_epoch - self.best_epoch >= self.patience:
            trainer.should_stop = True

    def on_fit_end(self, trainer: Trainer, pl_module: TrainingPlan) -> None:  # type: ignore[override]
        """Go back to the best weights of a run that was cut short."""
        self.restore(pl_module, trainer.max_epochs)

    def on_exception(self, trainer: Trainer, pl_module: TrainingPlan, exception: BaseException) -> None:  # type: ignore[override]
        """Go back to the best weights."""
        self.restore(pl_module, trainer.max_epochs)

    def restore(self, plan: TrainingPlan, n_epochs: int) -> None:
        """Put the best weights back, unless all ``n_epochs`` epochs were run or none was scored."""
        if self.best_weights is not None and self.n_scored < n_epochs:
            plan.module.load_state_dict(self.best_weights)


class Progress(Callback):
    """A progress bar over epochs with the losses.

    Parameters
    ----------
    n_epochs
        Length of the bar.
    name
        Text before the bar.
    """

    def __init__(self, n_epochs: int, name: str) -> None:
        self.n_epochs = n_epochs
        self.name = name
        self.bar: tqdm | None = None

    def on_train_start(self, trainer: Trainer, pl_module: TrainingPlan) -> None:  # type: ignore[override]
        """Show the bar."""
        self.bar = tqdm(
            total=self.n_epochs, desc=self.name, unit="epoch", dynamic_ncols=True, disable=trainer.global_rank > 0
        )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: TrainingPlan) -> None:  # type: ignore[override]
        """Move the bar."""
        if self.bar is not None:
            losses = {
                "loss": pl_module.curves.last("train_loss_epoch"),
                "held-out": pl_module.curves.last("validation_loss"),
            }
            self.bar.set_postfix({k: f"{v:.4g}" for k, v in losses.items() if v == v}, refresh=False)
            self.bar.update()

    def teardown(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None
