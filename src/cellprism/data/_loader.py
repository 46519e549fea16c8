"""Minibatches of cells: which ones, in which order, in which process."""

import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from cellprism.data._batch import Batch
from cellprism.data._dataset import CellDataset
from cellprism.data._stored_slots import BLOCK

LEAST_BATCHES = 4
"""Minibatches that a buffer holds at least."""


class CellLoader:
    """Serve cells in minibatches, each modality in the proportion in which it was measured.

    Rows in memory are shuffled freely. Those of a file are read in blocks of neighbouring cells: blocks are drawn at
    random until a buffer (8,192 cells, or fewer where they take more than 256 MB) is full, whose cells are shuffled
    and served while the next buffer is read.

    With several processes each has cells of its own, the same ones in every epoch, and all serve the same number of
    minibatches: a cell is served once an epoch, by one process.

    Parameters
    ----------
    dataset
        Where the cells come from.
    cells
        Rows of the data set to serve.
    batch_size
        Cells a minibatch at most, in each process; cells are dealt to minibatches as evenly as can be.
    shuffle
        Draw a new order every epoch; otherwise the order is kept.
    seed
        Fixes the orders.
    process, n_processes
        Which of how many processes this is.

    Attributes
    ----------
    seconds
        Time for which minibatches had to be waited for, since the loader was made.
    """

    def __init__(
        self,
        dataset: CellDataset,
        cells: np.ndarray,
        *,
        batch_size: int,
        shuffle: bool = False,
        seed: int = 0,
        process: int = 0,
        n_processes: int = 1,
    ) -> None:
        self.dataset, self.shuffle, self.seconds = dataset, shuffle, 0.0
        self.n_processes = n_processes
        self.cells, self.block = np.asarray(cells), BLOCK if dataset.is_streamed else 1
        n_blocks = math.ceil(len(self.cells) / self.block)
        dealt = np.random.default_rng(seed).permutation(n_blocks) if n_processes > 1 else np.arange(n_blocks)
        self.blocks = np.sort(dealt[process::n_processes])
        self._random = np.random.default_rng([seed, process])
        # from the most blocks that a process has, so that all serve the same number of minibatches
        n_most = math.ceil(n_blocks / n_processes)
        buffer = max(dataset.buffer, LEAST_BATCHES * batch_size)
        self.n_buffers = max(1, math.ceil(n_most * BLOCK / buffer)) if dataset.is_streamed else 1
        n_in_buffer = min(len(self.cells), math.ceil(n_most / self.n_buffers) * self.block)
        self.n_batches = math.ceil(n_in_buffer / batch_size)

    @property
    def served(self) -> np.ndarray:
        """Rows of the data set that this process serves, in order."""
        return self._cells_of(self.blocks)

    def __len__(self) -> int:
        return self.n_buffers * self.n_batches

    def __iter__(self) -> Iterator[Batch]:
        batches = self._batches()
        while True:
            start = time.perf_counter()
            batch = next(batches, None)
            self.seconds += time.perf_counter() - start
            if batch is None:
                return
            yield batch

    def _batches(self) -> Iterator[Batch]:
        if not len(self.cells):
            return
        blocks = self._random.permutation(self.blocks) if self.shuffle else self.blocks
        buffers = [self._cells_of(part) for part in np.array_split(blocks, self.n_buffers)]
        for cells, loaded in zip(buffers, _ahead(self.dataset, buffers), strict=True):
            order = self._random.permutation(cells) if self.shuffle else cells
            for batch in np.array_split(order, self.n_batches):
                if not len(batch) and self.n_processes == 1:
                    continue  # minibatches of single cells, for which several processes would wait
                yield loaded.take(torch.from_numpy(batch))

    def _cells_of(self, blocks: np.ndarray) -> np.ndarray:
        positions = (blocks[:, None] * self.block + np.arange(self.block)).ravel()
        return self.cells[positions[positions < len(self.cells)]]


def _ahead(dataset: CellDataset, buffers: list[np.ndarray]) -> Iterator[CellDataset]:
    """Give the data set with each buffer's cells in memory, and read the next buffer meanwhile."""
    if not dataset.is_streamed:
        yield from (dataset for _ in buffers)
        return
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(dataset.loaded, buffers[0])
        for following in [*buffers[1:], None]:
            loaded = coming.result()
            if following is not None:
                coming = reader.submit(dataset.loaded, following)
            yield loaded
