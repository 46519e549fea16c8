"""Networks compiled for the time of a stage."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from cellprism.module import LatentModule

COMPILED = ("encode", "decode", "log_likelihood")
"""Methods of a coder in which training spends its time."""


@contextmanager
def compiled(module: LatentModule, *, wanted: bool) -> Iterator[None]:
    """Compile encoders, decoders and likelihoods while the block runs, for batches of any size."""
    if not wanted:
        yield
        return
    coders = list(module.coders.values())
    for coder in coders:
        for name in COMPILED:
            setattr(coder, name, torch.compile(getattr(coder, name), dynamic=True))
    try:
        yield
    finally:
        for coder in coders:
            for name in COMPILED:
                delattr(coder, name)
