"""What training costs: cells per second, memory, and whether loading is what takes the time."""

import logging
import sys
import time
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer

from cellprism import _keys
from cellprism.training._plan import TrainingPlan

if sys.platform != "win32":
    import resource

logger = logging.getLogger("cellprism")

SLOW_LOADING = 0.5
"""Share of an epoch's time above which loading is said to be the bottleneck."""

LEAST_SECONDS = 5.0
"""Loading that takes less time than this is not worth a warning."""


class Meter(Callback):
    """Record, for each epoch, how many cells a second were trained on, what of the time was loading, and memory."""

    def __init__(self) -> None:
        self.has_warned = False

    def on_train_epoch_start(self, trainer: Trainer, pl_module: TrainingPlan) -> None:  # type: ignore[override]
        """Start the clock."""
        self.start = self.end = time.perf_counter()
        self.n_cells = 0
        self.loading = trainer.train_dataloader.seconds

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: TrainingPlan,  # type: ignore[override]
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Count the cells."""
        self.n_cells += batch.n_cells
        self.end = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: TrainingPlan) -> None:  # type: ignore[override]
        """Record the epoch, held-out cells left out of its time."""
        seconds = max(self.end - self.start, 1e-9)
        loading = trainer.train_dataloader.seconds - self.loading
        figures = {
            _keys.CELLS_PER_SECOND: trainer.world_size * self.n_cells / seconds,
            _keys.LOADING_SHARE: loading / seconds,
            _keys.MEMORY: peak_memory(pl_module.device) / 2**30,
        }
        pl_module.curves.add({name: torch.tensor(value) for name, value in figures.items()}, 1.0)
        if loading > max(SLOW_LOADING * seconds, LEAST_SECONDS) and not self.has_warned:
            self.has_warned = True
            logger.warning(
                "Loading took %.0f %% of the last epoch's %.0f seconds: reading cells, not arithmetic, is what "
                "training waits for. Keep the data in memory (resident=True), or store them uncompressed, on a "
                "faster disk, with cells in random order.", 100 * loading / seconds, seconds,
            )  # fmt: skip


def peak_memory(device: torch.device) -> float:
    """Most memory taken so far: of the GPU, or of this process where there is none; unit: bytes, NaN on Windows."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return float("nan")
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
