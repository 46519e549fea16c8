"""Runs that two processes share, to compare with the same run in one.

``python -m tests.training.two_processes FOLDER STRATEGY NAME ...`` leaves ``FOLDER/NAME.RANK.pt`` for each run.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from lightning.pytorch import Callback
from lightning.pytorch.utilities import rank_zero_only
from tests.contracts.simulated import simulate

from cellprism import Apollo, CrossModalVAE
from cellprism.latents import Posterior
from cellprism.modalities import Features
from cellprism.models._base import LatentModel
from cellprism.objectives import Critic, KLDivergence, Objective, Reconstruction, SharedReconstruction

SMALL: dict[str, Any] = {"n_shared": 3, "n_private": 2, "n_hidden": 16, "seed": 0}
UNPAIRED = {"rna": range(240), "protein": range(240, 400)}
MOSAIC = {"rna": range(300), "protein": range(100, 400)}
WITHOUT_PAIRS = (Reconstruction(), SharedReconstruction(), KLDivergence(), Critic())
"""Terms that do not depend on the number of cells in a minibatch."""


@dataclass(frozen=True, kw_only=True)
class BreaksAtCell(Objective):
    """Tells of NaN in the second pass over one cell, which one process has; its gradients stay finite."""

    name: ClassVar[str] = "breaking"
    passes: ClassVar[list[int]] = []

    def terms(self, outputs: Any, network: torch.nn.Module) -> dict[str, torch.Tensor]:
        return {"rna": outputs.samples["rna", "shared"].square().mean()}

    def metrics(self, outputs: Any, network: torch.nn.Module) -> dict[str, torch.Tensor]:
        if not (outputs.batch.cells == 7).any():
            return {}
        self.passes.append(1)
        return {"cell": torch.tensor(torch.nan if len(self.passes) > 1 else 0.0)}


class Served(Callback):
    """Note which cells were served in each epoch, and the seed of the noise."""

    def __init__(self) -> None:
        self.cells: dict[str, list[list[int]]] = {"training": [], "held out": []}

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        self.seed = torch.initial_seed()
        self.cells["training"].append([])
        self.cells["held out"].append([])

    def on_train_batch_start(self, trainer, pl_module, batch, *_) -> None:
        self.cells["training"][-1] += batch.cells.tolist()

    def on_validation_batch_start(self, trainer, pl_module, batch, *_) -> None:
        self.cells["held out"][-1] += batch.cells.tolist()


class UseThreads(Callback):
    """Let all of torch's threads work."""

    def on_train_start(self, trainer, pl_module) -> None:
        torch.ones(1000, 1000) @ torch.ones(1000, 1000)


class PressCtrlC(Callback):
    """Press Ctrl-C in the last process alone."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        if trainer.current_epoch == 2 and batch_idx == 1 and trainer.global_rank == trainer.world_size - 1:
            os.kill(os.getpid(), signal.SIGINT)


def without_noise(train: Callable[[], None]) -> None:
    """Train with means of posteriors for draws."""
    sample, Posterior.sample = Posterior.sample, lambda self: self.mean
    try:
        train()
    finally:
        Posterior.sample = sample


def steps(**how: Any) -> LatentModel:
    """Three steps of model and critic over 32 cells, each of which is all that there is to know."""
    mdata = simulate(32, kinds={"rna": "features", "protein": "features"})
    CrossModalVAE.setup_mudata(mdata, {name: Features(likelihood="squared_error") for name in mdata.mod})
    objectives = [Reconstruction(), Critic()]
    model = CrossModalVAE(mdata, objectives=objectives, dropout_rate=0.0, input_dropout_rate=0.0, **SMALL)
    how |= {"batch_size": _share(how, 32), "validation_size": 0, "callbacks": [UseThreads()]}
    without_noise(lambda: model.train(max_epochs=3, **how))
    return model


def steps_of_codes(**how: Any) -> LatentModel:
    """The same of codes, decoders and encoders."""
    mdata = simulate(32, kinds={"rna": "features", "protein": "features"})
    Apollo.setup_mudata(mdata, {name: Features(likelihood="squared_error") for name in mdata.mod})
    model = Apollo(mdata, dropout_rate=0.0, input_dropout_rate=0.0, **SMALL)
    without_noise(lambda: model.train(5, encoder_epochs=2, batch_size=_share(how, 32), validation_size=0, **how))
    return model


def unpaired(**how: Any) -> LatentModel:
    model = CrossModalVAE(simulate(400, present=UNPAIRED), objectives=WITHOUT_PAIRS, **SMALL)
    model.train(max_epochs=20, batch_size=_share(how, 64), **how)
    return model


def apollo(**how: Any) -> LatentModel:
    model = Apollo(simulate(400, present=MOSAIC), **SMALL)
    rows = np.arange(390)
    model.train(20, encoder_epochs=5, train_indices=rows, batch_size=_share(how, 64), **how)
    return model


def stops_early(**how: Any) -> LatentModel:
    model = CrossModalVAE(simulate(200), objectives=WITHOUT_PAIRS, **SMALL)
    model.train(max_epochs=60, patience=3, learning_rate=0.3, batch_size=_share(how, 40), **how)
    return model


def served(**how: Any) -> LatentModel:
    model, model.served = CrossModalVAE(simulate(101), objectives=[Reconstruction()], **SMALL), Served()
    model.train(max_epochs=3, validation_size=0.25, batch_size=_share(how, 16), callbacks=[model.served], **how)
    return model


def breaks(**how: Any) -> LatentModel:
    BreaksAtCell.passes.clear()
    model = CrossModalVAE(simulate(100), objectives=[Reconstruction(), BreaksAtCell()], **SMALL)
    try:
        model.train(max_epochs=5, batch_size=_share(how, 32), validation_size=0, **how)
    except FloatingPointError as error:
        model.error = str(error)
    return model


def is_interrupted(**how: Any) -> LatentModel:
    model = CrossModalVAE(simulate(200), objectives=WITHOUT_PAIRS, **SMALL)
    model.train(max_epochs=40, batch_size=_share(how, 40), callbacks=[PressCtrlC()], **how)
    return model


def few_cells(**how: Any) -> LatentModel:
    """Minibatches of one cell, of which a process has one fewer than the other."""
    model = CrossModalVAE(simulate(5, present={"rna": range(3), "protein": range(2, 5)}), **SMALL)
    model.train(max_epochs=2, batch_size=1, **how)
    return model


def _share(how: dict[str, Any], n_cells: int) -> int:
    return n_cells // how.get("devices", 1)


def outcome(run: Callable[..., LatentModel], **how: Any) -> dict[str, Any]:
    """What a run leaves in this process."""
    start = time.monotonic()
    model = run(accelerator="cpu", enable_progress_bar=False, **how)
    found = {
        "seconds": time.monotonic() - start,
        "weights": {name: value.detach().clone() for name, value in model.module.state_dict().items()},
        "history": {name: curve[name].to_dict() for name, curve in model.history.items()},
        "error": getattr(model, "error", None),
        "is_trained": model.is_trained,
        "latents": torch.from_numpy(model.get_latent_representation()),
    }
    if isinstance(model, Apollo):
        found["codes"] = torch.from_numpy(model.get_codes())
    if hasattr(model, "served"):
        found |= {"cells": model.served.cells, "seed": getattr(model.served, "seed", None)}
    return found


if __name__ == "__main__":
    folder, strategy, *names = sys.argv[1:]
    torch.ones(1000, 1000) @ torch.ones(1000, 1000)  # starts threads, which a fork does not take along
    for each in names:
        left = outcome(globals()[each], devices=2, strategy=strategy)
        torch.save(left, Path(folder) / f"{each}.{rank_zero_only.rank}.pt")
