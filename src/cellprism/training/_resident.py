"""Where the rows lie while a model trains: in a file, in memory, or on the device."""

import logging

import psutil
import torch

from cellprism.data import CellDataset
from cellprism.training._fit import Schedule, trainer_on_devices

logger = logging.getLogger("cellprism")

SHARE_OF_HOST = 1 / 3
"""Of the free memory that rows read from a file may take; while they are read and checked they take twice as much."""
SHARE_OF_DEVICE = 1 / 2


def keep_in_memory(dataset: CellDataset, asked: bool | None) -> CellDataset:
    """Read all rows that lie in a file, if that is asked for or, by default, if a third of free memory holds them.

    Parameters
    ----------
    dataset
        Cells, of which some rows may lie in a file.
    asked
        Whether to read them; ``None`` decides from the free memory.
    """
    if not dataset.is_streamed:
        return dataset
    free = psutil.virtual_memory().available
    fits = dataset.nbytes < SHARE_OF_HOST * free if asked is None else asked
    logger.info(
        "The data take %.3g GB of %.3g GB of free memory: rows are %s.", dataset.nbytes / 1e9, free / 1e9,
        "read into memory once" if fits else "read from the file in every epoch",
    )  # fmt: skip
    return dataset.in_memory() if fits else dataset


def keep_on_device(dataset: CellDataset, schedule: Schedule) -> CellDataset:
    """Put the rows on a GPU so that minibatches are gathered there, if asked or if half of its free memory holds them.

    Rows that lie in a file stay there; so do those in memory where several devices train, each on cells of its own.

    Parameters
    ----------
    dataset
        Cells.
    schedule
        Says on what the model trains, and whether rows are put there.
    """
    device = _only_device(schedule)
    if device is None or device.type != "cuda" or dataset.is_streamed or schedule.resident is False:
        return dataset
    fits = schedule.resident or dataset.nbytes < SHARE_OF_DEVICE * torch.cuda.mem_get_info(device)[0]
    return dataset.to(device) if fits else dataset


def _only_device(schedule: Schedule) -> torch.device | None:
    """Device that Lightning chooses; ``None`` where it chooses several."""
    trainer = trainer_on_devices(schedule)
    return trainer.strategy.root_device if trainer.world_size == 1 else None
