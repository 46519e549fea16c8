"""Several processes, each with a device and cells of its own: how they start, and what they tell each other."""

import sys
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy, ParallelStrategy, Strategy
from torch import distributed

STARTS = {"ddp": "popen", "ddp_notebook": "fork", "ddp_fork": "fork", "ddp_spawn": "spawn"}
"""How processes are started, by name of the strategy."""


def choose_strategy(devices: Any, strategy: str | Strategy, num_nodes: int) -> str | Strategy:
    """How Lightning is to train: in this process, or data-parallel in one process a device.

    Parameters
    ----------
    devices
        As in :class:`lightning.pytorch.Trainer`.
    strategy
        ``"auto"``, a name of :data:`STARTS`, or a Lightning strategy, which is left as it is.
    num_nodes
        Machines.

    Raises
    ------
    ValueError
        If there is no such strategy.
    """
    if isinstance(strategy, Strategy):
        return strategy
    if strategy == "auto":
        is_one = devices in (1, "1") or (isinstance(devices, list | tuple) and len(devices) == 1)
        if is_one and num_nodes == 1:
            return "auto"
        strategy = "ddp_notebook" if hasattr(sys, "ps1") else "ddp"
    if strategy not in STARTS:
        raise ValueError(
            f"strategy is {strategy!r}; expected 'auto', {', '.join(map(repr, STARTS))} or a Lightning strategy of "
            "data-parallel training."
        )
    # a batch need not use every network, nor does a critic's step
    return DDPStrategy(start_method=STARTS[strategy], find_unused_parameters=True)


def is_shared(trainer: Trainer) -> bool:
    """Whether processes train one model together, be it that there is only one of them."""
    return isinstance(trainer.strategy, ParallelStrategy)


def gathered(trainer: Trainer, own: Any) -> list[Any]:
    """Give what each process has, in the same order in all of them."""
    if not is_shared(trainer):
        return [own]
    found = [None] * trainer.world_size
    distributed.all_gather_object(found, own)
    return found
