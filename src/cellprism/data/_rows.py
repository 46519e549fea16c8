"""One modality's observed rows as tensors, sparse or dense, that can be gathered on any device."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from scipy import sparse
from torch import Tensor

from cellprism.data._image_rows import ImageRows


@dataclass(frozen=True)
class SparseRows:
    """Rows of a CSR matrix.

    Parameters
    ----------
    offsets
        Where each row begins in ``indices`` and ``values``; one more entry than rows.
    indices
        Feature of each stored value.
    values
        Stored values.
    n_features
        Number of columns.
    """

    offsets: Int[Tensor, " rows_plus_one"]
    indices: Int[Tensor, " stored"]
    values: Float[Tensor, " stored"]
    n_features: int

    @classmethod
    def from_scipy(cls, matrix: sparse.csr_matrix | sparse.csr_array) -> Self:
        """Copy a scipy CSR matrix."""
        return cls(
            torch.from_numpy(matrix.indptr.astype(np.int64)),
            torch.from_numpy(matrix.indices.astype(np.int64)),
            torch.from_numpy(matrix.data.astype(np.float32)),
            int(matrix.shape[1]),
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def device(self) -> torch.device:
        """Where the rows lie."""
        return self.values.device

    @property
    def nbytes(self) -> int:
        """Memory that the rows take; unit: bytes."""
        return self.offsets.nbytes + self.indices.nbytes + self.values.nbytes

    def take(self, rows: Int[Tensor, " taken"]) -> Self:
        """Gather rows by position, in the order given."""
        starts = self.offsets[rows]
        lengths = self.offsets[rows + 1] - starts
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        within = torch.arange(int(offsets[-1]), device=rows.device)
        positions = within + torch.repeat_interleave(starts - offsets[:-1], lengths)
        return type(self)(offsets, self.indices[positions], self.values[positions], self.n_features)

    @cached_property
    def row_of_value(self) -> Int[Tensor, " stored"]:
        """Row of each stored value."""
        lengths = self.offsets[1:] - self.offsets[:-1]
        return torch.repeat_interleave(torch.arange(len(self), device=self.device), lengths)

    def sums(self) -> Float[Tensor, " rows"]:
        """Sum of each row."""
        return self.values.new_zeros(len(self)).index_add(0, self.row_of_value, self.values)

    def column_sums(self) -> Float[Tensor, " features"]:
        """Sum of each feature."""
        return self.values.new_zeros(self.n_features).index_add(0, self.indices, self.values)

    def with_values(self, values: Float[Tensor, " stored"]) -> Self:
        """Give the same pattern with other values."""
        return type(self)(self.offsets, self.indices, values, self.n_features)

    def dense(self) -> Float[Tensor, "rows features"]:
        """Spread into a dense tensor."""
        full = self.values.new_zeros(len(self), self.n_features)
        return full.index_put((self.row_of_value, self.indices), self.values, accumulate=True)

    def to_scipy(self) -> sparse.csr_matrix:
        """Give a scipy matrix that shares memory with the rows, which lie on the CPU."""
        parts = (self.values.numpy(), self.indices.numpy(), self.offsets.numpy())
        return sparse.csr_matrix(parts, shape=(len(self), self.n_features))

    def to(self, device: torch.device | str) -> Self:
        """Move to a device."""
        move = (self.offsets, self.indices, self.values)
        return type(self)(*(part.to(device, non_blocking=True) for part in move), self.n_features)


@dataclass(frozen=True)
class DenseRows:
    """Rows of a dense array of any shape, such as features or images.

    Parameters
    ----------
    values
        One row a cell, any dtype.
    """

    values: Shaped[Tensor, "rows *features"]

    @classmethod
    def from_numpy(cls, array: np.ndarray) -> Self:
        """Copy an array; floating values become float32."""
        dtype = np.float32 if array.dtype.kind == "f" else array.dtype
        return cls(torch.from_numpy(np.array(array, dtype=dtype, order="C")))

    def __len__(self) -> int:
        return len(self.values)

    @property
    def device(self) -> torch.device:
        """Where the rows lie."""
        return self.values.device

    @property
    def nbytes(self) -> int:
        """Memory that the rows take; unit: bytes."""
        return self.values.nbytes

    @property
    def n_features(self) -> int:
        """Number of values in a row."""
        return int(np.prod(self.values.shape[1:]))

    def take(self, rows: Int[Tensor, " taken"]) -> Self:
        """Gather rows by position, in the order given."""
        return type(self)(self.values[rows])

    def sums(self) -> Float[Tensor, " rows"]:
        """Sum of each row."""
        return self.values.flatten(1).sum(1, dtype=torch.float32)

    def column_sums(self) -> Float[Tensor, " features"]:
        """Sum of each feature."""
        return self.values.flatten(1).sum(0, dtype=torch.float32)

    def dense(self) -> Shaped[Tensor, "rows *features"]:
        """Give the values as they are."""
        return self.values

    def to(self, device: torch.device | str) -> Self:
        """Move to a device."""
        return type(self)(self.values.to(device, non_blocking=True))


Rows = SparseRows | DenseRows | ImageRows


def map_stored(rows: Rows, change: Callable[[Tensor], Tensor]) -> Rows:
    """Apply a function that keeps zero at zero to every stored value."""
    if isinstance(rows, SparseRows):
        return rows.with_values(change(rows.values))
    return DenseRows(change(rows.values))


def scale_rows(rows: Rows, factors: Float[Tensor, " rows"]) -> Rows:
    """Multiply each row by its factor."""
    if isinstance(rows, SparseRows):
        return rows.with_values(rows.values * factors[rows.row_of_value])
    return DenseRows(rows.values * factors[:, None])


def scale_columns(rows: Rows, factors: Float[Tensor, " features"]) -> Rows:
    """Multiply each feature by its factor."""
    if isinstance(rows, SparseRows):
        return rows.with_values(rows.values * factors[rows.indices])
    return DenseRows(rows.values * factors)
