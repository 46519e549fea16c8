"""The cells of a MuData as tensors, served batch by batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cellprism.data._batch import Batch, Observed
from cellprism.data._rows import Rows


@dataclass(frozen=True)
class CellDataset(Dataset[Batch]):
    """All cells of a data set, compact: a modality holds a row only for the cells that were measured in it.

    Parameters
    ----------
    rows
        Observed rows per modality.
    row_of_cell
        Per modality, the row that belongs to each cell; -1 where the cell was not measured.
    batch_codes, labels, markers
        As in :class:`~cellprism.data.Batch`, for all cells.
    """

    rows: dict[str, Rows]
    row_of_cell: dict[str, Int[Tensor, " cells"]]
    batch_codes: Int[Tensor, " cells"]
    labels: Int[Tensor, " cells"]
    markers: Float[Tensor, "cells markers"]

    def __len__(self) -> int:
        return len(self.batch_codes)

    def __getitem__(self, cell: int) -> Batch:
        return self.take(torch.tensor([cell]))

    def __getitems__(self, cells: Sequence[int]) -> Batch:
        """Serve a whole batch at once; the loader calls this with the cells it drew."""
        return self.take(torch.as_tensor(cells))

    def take(self, cells: Int[Tensor, " taken"]) -> Batch:
        """Gather cells by their row in the data set."""
        cells = cells.to(self.batch_codes.device)
        observed = {}
        for modality, rows in self.rows.items():
            row = self.row_of_cell[modality][cells]
            present = torch.nonzero(row >= 0).flatten()
            if len(present):
                observed[modality] = Observed(rows.take(row[present]), present)
        return Batch(observed, cells, self.batch_codes[cells], self.labels[cells], self.markers[cells])

    def cells_with(self, modality: str) -> np.ndarray:
        """Rows of the data set that were measured in a modality."""
        return np.flatnonzero(self.row_of_cell[modality].cpu().numpy() >= 0)

    def is_observed(self, modality: str) -> np.ndarray:
        """Whether each cell was measured in a modality."""
        return self.row_of_cell[modality].cpu().numpy() >= 0

    def n_pairs(self, first: str, second: str) -> int:
        """Number of cells that were measured in both modalities."""
        return int((self.is_observed(first) & self.is_observed(second)).sum())

    def rows_of(self, modality: str, cells: np.ndarray) -> Rows:
        """Observed rows of a modality among some cells."""
        row = self.row_of_cell[modality][torch.as_tensor(cells, device=self.batch_codes.device)]
        return self.rows[modality].take(row[row >= 0])

    def to(self, device: torch.device | str) -> Self:
        """Move everything to a device, so that batches are gathered there."""
        return type(self)(
            {name: rows.to(device) for name, rows in self.rows.items()},
            {name: row.to(device) for name, row in self.row_of_cell.items()},
            *(part.to(device) for part in (self.batch_codes, self.labels, self.markers)),
        )


def cell_loader(
    dataset: CellDataset, cells: np.ndarray, *, batch_size: int, shuffle: bool = False, seed: int = 0
) -> DataLoader:
    """Serve cells in minibatches, each modality in the proportion in which it was measured.

    Parameters
    ----------
    dataset
        Where the cells come from.
    cells
        Rows of the data set to serve.
    batch_size
        Cells a batch; the last one may be smaller.
    shuffle
        Draw a new order every epoch.
    seed
        Fixes the orders.
    """
    return DataLoader(
        _Selection(dataset, torch.as_tensor(cells)),
        batch_size=batch_size,
        shuffle=shuffle,
        collate_fn=_as_served,
        generator=torch.Generator().manual_seed(seed),
    )


@dataclass(frozen=True)
class _Selection(Dataset[Batch]):
    """Some cells of a data set, in a given order."""

    dataset: CellDataset
    cells: Int[Tensor, " selected"]

    def __len__(self) -> int:
        return len(self.cells)

    def __getitem__(self, position: int) -> Batch:
        return self.dataset[int(self.cells[position])]

    def __getitems__(self, positions: Sequence[int]) -> Batch:
        return self.dataset.take(self.cells[torch.as_tensor(positions)])


def _as_served(batch: Batch) -> Batch:
    return batch
