"""The cells of a MuData as tensors, served batch by batch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import Dataset

from cellprism.data._batch import Batch, Observed
from cellprism.data._rows import Rows
from cellprism.data._stored_rows import LoadedRows, StoredRows
from cellprism.data._stored_slots import BLOCK, spread

MOST_CELLS = 8_192
MOST_BYTES = 2**28
"""How much of a file is in memory, and shuffled, together, while the next part is read."""


@dataclass(frozen=True)
class CellDataset(Dataset[Batch]):
    """All cells of a data set, compact: a modality holds a row only for the cells that were measured in it.

    Parameters
    ----------
    rows
        Observed rows per modality, in memory or in a file.
    row_of_cell
        Per modality, the row that belongs to each cell; -1 where the cell was not measured.
    batch_codes, labels, markers
        As in :class:`~cellprism.data.Batch`, for all cells.
    """

    rows: dict[str, Rows | StoredRows | LoadedRows]
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

    def only(self, modalities: Sequence[str]) -> Self:
        """Leave out other modalities, so that they are not read; the cells stay."""
        return replace(self, rows={name: rows for name, rows in self.rows.items() if name in modalities})

    @property
    def is_streamed(self) -> bool:
        """Whether any modality lies in a file."""
        return any(isinstance(rows, StoredRows) for rows in self.rows.values())

    @property
    def nbytes(self) -> int:
        """Memory that the data set takes when every row is in memory; unit: bytes."""
        parts = [*self.row_of_cell.values(), self.batch_codes, self.labels, self.markers]
        return sum(rows.nbytes for rows in self.rows.values()) + sum(part.nbytes for part in parts)

    def loaded(self, cells: np.ndarray) -> Self:
        """Read what is stored of some cells, which alone can be taken then."""
        rows = {}
        for modality, held in self.rows.items():
            row = self.row_of_cell[modality][torch.as_tensor(cells)]
            if not isinstance(held, StoredRows):
                rows[modality] = held
            elif (row >= 0).any():  # else there is nothing to read, nor to take
                rows[modality] = held.load(row[row >= 0])
        return replace(self, rows=rows)

    def in_memory(self) -> Self:
        """Read everything that is stored."""
        everything = {
            modality: stored.take(torch.arange(len(stored)))
            for modality, stored in self.rows.items()
            if isinstance(stored, StoredRows)
        }
        return replace(self, rows=self.rows | everything)

    @property
    def buffer(self) -> int:
        """Cells of a file that may be in memory together, in whole blocks."""
        per_cell = sum(rows.bytes_per_row for rows in self.rows.values() if isinstance(rows, StoredRows))
        return max(1, int(min(MOST_CELLS, MOST_BYTES / max(1, per_cell)) / BLOCK)) * BLOCK

    def some_of(self, cells: np.ndarray, n_most: int) -> np.ndarray:
        """At most so many of some cells, evenly spread; neighbours where they are read from a file."""
        if self.is_streamed:
            return cells[spread(len(cells), n_most)]
        return cells[np.linspace(0, len(cells) - 1, min(len(cells), n_most)).astype(int)]
