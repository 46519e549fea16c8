"""One modality's rows in a file, of which some are read at a time."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from torch import Tensor

from cellprism.data._rows import Rows


@dataclass(frozen=True)
class StoredRows:
    """Rows that lie in a file.

    Parameters
    ----------
    read
        Reads the rows at ascending positions.
    n_rows
        How many there are.
    nbytes
        Memory that all would take; unit: bytes.
    """

    read: Callable[[np.ndarray], Rows]
    n_rows: int
    nbytes: int

    def __len__(self) -> int:
        return self.n_rows

    def load(self, rows: Int[Tensor, " taken"]) -> Rows:
        """Read the rows at ascending positions."""
        return self.read(rows.numpy())
