"""A minibatch: per modality the rows that were observed, and whose cells they are."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cellprism.data._rows import Rows


@dataclass(frozen=True)
class Observed:
    """Rows of one modality within a batch.

    Parameters
    ----------
    rows
        The measurements, one row for each cell that has this modality. No padding.
    cells
        Position within the batch of the cell that each row belongs to, ascending.
    """

    rows: Rows
    cells: Int[Tensor, " rows"]

    def __len__(self) -> int:
        return len(self.cells)


@dataclass(frozen=True)
class Batch:
    """Some cells of a data set.

    Parameters
    ----------
    observed
        Rows per modality; a modality that no cell of the batch has is left out.
    cells
        Row of each cell in the data set (the row of the MuData).
    batch_codes
        Experimental batch of each cell; zero where none was registered.
    labels
        Class of each cell; -1 where it is unlabelled.
    markers
        Continuous markers; no column where none was registered.
    """

    observed: dict[str, Observed]
    cells: Int[Tensor, " cells"]
    batch_codes: Int[Tensor, " cells"]
    labels: Int[Tensor, " cells"]
    markers: Float[Tensor, "cells markers"]

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return len(self.cells)

    def pairs(self, first: str, second: str) -> tuple[Int[Tensor, " pairs"], Int[Tensor, " pairs"]]:
        """Positions among the rows of two modalities of the cells that were measured in both."""
        empty = self.cells.new_zeros(0)
        if first not in self.observed or second not in self.observed:
            return empty, empty
        row_of_cell = self.cells.new_full((self.n_cells,), -1)
        row_of_cell[self.observed[second].cells] = torch.arange(len(self.observed[second]), device=self.cells.device)
        partner = row_of_cell[self.observed[first].cells]
        in_first = torch.nonzero(partner >= 0).flatten()
        return in_first, partner[in_first]

    def only(self, modalities: tuple[str, ...]) -> Self:
        """Leave out what other modalities observed; the cells stay."""
        return replace(self, observed={m: o for m, o in self.observed.items() if m in modalities})

    def map_rows(self, change: Callable[[str, Observed], Rows]) -> Self:
        """Replace the rows of each modality; whose cells they are stays."""
        return replace(self, observed={m: replace(o, rows=change(m, o)) for m, o in self.observed.items()})

    def to(self, device: torch.device | str) -> Self:
        """Move to a device."""
        observed = {name: Observed(o.rows.to(device), o.cells.to(device)) for name, o in self.observed.items()}
        rest = (self.cells, self.batch_codes, self.labels, self.markers)
        return type(self)(observed, *(part.to(device) for part in rest))


def empty_batch(n_cells: int, device: torch.device | str) -> Batch:
    """Cells of which nothing was measured, of the first experimental batch."""
    codes = torch.zeros(n_cells, dtype=torch.long, device=device)
    return Batch({}, torch.arange(n_cells, device=device), codes, codes - 1, torch.zeros(n_cells, 0, device=device))
