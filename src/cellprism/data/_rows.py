"""One modality's observed rows as tensors, sparse or dense, that can be gathered on any device."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from scipy import sparse
from torch import Tensor

from cellprism.data._image_rows import ImageRows


@dataclass(frozen=True)
class Pattern:
    """Where the stored values of a CSR matrix lie.

    Parameters
    ----------
    offsets
        Where each row begins; one more entry than rows.
    indices
        Feature of each stored value, in 32 bits to spare memory.
    n_features
        Number of columns.
    """

    offsets: Int[Tensor, " rows_plus_one"]
    indices: Int[Tensor, " stored"]
    n_features: int

    @cached_property
    def rows(self) -> Int[Tensor, " stored"]:
        """Row of each stored value."""
        return torch.repeat_interleave(self.offsets.diff(), output_size=len(self.indices))


@dataclass(frozen=True)
class SparseRows:
    """Rows of a CSR matrix.

    Parameters
    ----------
    pattern
        Where the stored values lie.
    values
        Stored values.
    """

    pattern: Pattern
    values: Float[Tensor, " stored"]

    @classmethod
    def from_scipy(cls, matrix: sparse.csr_matrix | sparse.csr_array) -> Self:
        """Copy a scipy CSR matrix."""
        offsets = torch.from_numpy(matrix.indptr.astype(np.int64))
        indices = torch.from_numpy(matrix.indices.astype(np.int32))
        return cls(Pattern(offsets, indices, int(matrix.shape[1])), torch.from_numpy(matrix.data.astype(np.float32)))

    def __len__(self) -> int:
        return len(self.pattern.offsets) - 1

    @property
    def n_features(self) -> int:
        """Number of columns."""
        return self.pattern.n_features

    @property
    def device(self) -> torch.device:
        """Where the rows lie."""
        return self.values.device

    @property
    def nbytes(self) -> int:
        """Memory that the rows take; unit: bytes."""
        return self.pattern.offsets.nbytes + self.pattern.indices.nbytes + self.values.nbytes

    def take(self, rows: Int[Tensor, " taken"]) -> Self:
        """Gather rows by position, in the order given."""
        starts = self.pattern.offsets[rows]
        lengths = self.pattern.offsets[rows + 1] - starts
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        n_stored = int(offsets[-1])
        positions = torch.repeat_interleave(starts - offsets[:-1], lengths, output_size=n_stored)
        positions += torch.arange(n_stored, device=rows.device)
        indices = self.pattern.indices.index_select(0, positions)
        return type(self)(Pattern(offsets, indices, self.n_features), self.values.index_select(0, positions))

    def sums(self) -> Float[Tensor, " rows"]:
        """Sum of each row."""
        return torch.segment_reduce(self.values, "sum", offsets=self.pattern.offsets, initial=0)

    def column_sums(self) -> Float[Tensor, " features"]:
        """Sum of each feature."""
        return self.values.new_zeros(self.n_features).index_add_(0, self.pattern.indices, self.values)

    def with_values(self, values: Float[Tensor, " stored"]) -> Self:
        """Give the same pattern with other values."""
        return type(self)(self.pattern, values)

    def keep(self, is_kept: Bool[Tensor, " stored"]) -> Self:
        """Leave out some stored values, as if they were zero."""
        kept = torch.nonzero(is_kept).flatten()
        n_before = torch.cat([kept.new_zeros(1), is_kept.cumsum(0)])
        pattern = self.pattern
        thinned = Pattern(n_before[pattern.offsets], pattern.indices.index_select(0, kept), pattern.n_features)
        return type(self)(thinned, self.values.index_select(0, kept))

    def dense(self) -> Float[Tensor, "rows features"]:
        """Spread into a dense tensor."""
        full = self.values.new_zeros(len(self), self.n_features)
        return full.index_put((self.pattern.rows, self.pattern.indices), self.values, accumulate=True)

    def to_scipy(self) -> sparse.csr_matrix:
        """Give a scipy matrix that shares memory with the rows, which lie on the CPU."""
        parts = (self.values.numpy(), self.pattern.indices.numpy(), self.pattern.offsets.numpy())
        return sparse.csr_matrix(parts, shape=(len(self), self.n_features))

    def to(self, device: torch.device | str) -> Self:
        """Move to a device."""
        parts = (self.pattern.offsets, self.pattern.indices, self.values)
        offsets, indices, values = (part.to(device, non_blocking=True) for part in parts)
        return type(self)(Pattern(offsets, indices, self.n_features), values)


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

    def keep(self, is_kept: Bool[Tensor, "rows *features"]) -> Self:
        """Set all other values to zero."""
        return type(self)(self.values * is_kept)

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
        return rows.with_values(rows.values * factors.index_select(0, rows.pattern.rows))
    return DenseRows(rows.values * factors[:, None])


def scale_columns(rows: Rows, factors: Float[Tensor, " features"]) -> Rows:
    """Multiply each feature by its factor."""
    if isinstance(rows, SparseRows):
        return rows.with_values(rows.values * factors.index_select(0, rows.pattern.indices))
    return DenseRows(rows.values * factors)
