"""One modality's rows in a file, of which some are read at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from cellprism.data._rows import Rows
from cellprism.data._stored_slots import spread


@dataclass(frozen=True)
class LoadedRows:
    """Some rows of many, in memory.

    Parameters
    ----------
    positions
        Which ones, ascending.
    rows
        The rows.
    n_rows
        How many there are in all.
    """

    positions: Int[Tensor, " loaded"]
    rows: Rows
    n_rows: int

    def __len__(self) -> int:
        return self.n_rows

    @property
    def nbytes(self) -> int:
        """Memory that the rows take; unit: bytes."""
        return self.rows.nbytes + self.positions.nbytes

    def take(self, rows: Int[Tensor, " taken"]) -> Rows:
        """Gather rows by position among all, in the order given; each must have been loaded."""
        return self.rows.take(torch.searchsorted(self.positions, rows))

    def to(self, device: torch.device | str) -> Self:
        """Move to a device."""
        return type(self)(self.positions.to(device), self.rows.to(device), self.n_rows)


@dataclass(frozen=True)
class StoredRows:
    """Rows that lie in a file.

    Parameters
    ----------
    read
        Reads the rows at ascending positions, and checks them.
    n_rows
        How many there are.
    bytes_per_row
        Memory that a row takes on average.
    """

    read: Callable[[np.ndarray], Rows]
    n_rows: int
    bytes_per_row: float

    @classmethod
    def looked_at(cls, read: Callable[[np.ndarray], Rows], n_rows: int) -> Self:
        """Look at some rows, to refuse the data early where they are bad and to know how large they are."""
        looked_at = spread(n_rows)
        return cls(read, n_rows, read(looked_at).nbytes / max(1, len(looked_at)))

    def __len__(self) -> int:
        return self.n_rows

    @property
    def nbytes(self) -> int:
        """Memory that all would take, about; unit: bytes."""
        return round(self.bytes_per_row * self.n_rows)

    def load(self, rows: Int[Tensor, " some"]) -> LoadedRows:
        """Read rows by position, in any order, of which minibatches can be taken then."""
        positions = rows.cpu().unique()
        return LoadedRows(positions, self.read(positions.numpy()), self.n_rows)

    def take(self, rows: Int[Tensor, " taken"]) -> Rows:
        """Read rows by position, in the order given."""
        return self.load(rows).take(rows.cpu())

    def to(self, device: torch.device | str) -> Self:
        """Stay in the file."""
        return self
