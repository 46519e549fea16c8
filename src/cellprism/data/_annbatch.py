"""Rows of sparse tables in zarr stores, read by annbatch, which asks for many spans at once."""

import threading
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
from anndata.abc import CSRDataset
from scipy import sparse


def is_readable(table: CSRDataset) -> bool:
    """Whether annbatch is installed and reads this table."""
    return find_spec("annbatch") is not None and table.backend == "zarr"


class AnnbatchTable:
    """A CSR matrix in a zarr store.

    Parameters
    ----------
    table
        The matrix.
    """

    def __init__(self, table: CSRDataset) -> None:
        from annbatch import Loader

        self._sampler = _sampler()
        self._loader = Loader(batch_sampler=self._sampler, preload_to_gpu=False).add_dataset(table)
        self._reads_one = threading.Lock()  # a loader serves one request after the other

    def __getitem__(self, rows: np.ndarray) -> sparse.csr_matrix:
        """Read the rows at ascending positions."""
        with self._reads_one:
            self._sampler.rows = rows
            (served,) = self._loader
            return sparse.csr_matrix(served["X"])


def _sampler() -> Any:
    """Make a sampler that asks for exactly the rows that it is told."""
    from annbatch.abc import Sampler

    class These(Sampler):
        rows = np.arange(0)
        shuffle = False

        @property
        def batch_size(self) -> int:
            return len(self.rows)

        def n_batches(self, n_obs: int) -> int:
            return 1

        def validate(self, n_obs: int) -> None:
            pass

        def _sample(self, n_obs: int) -> Iterator[dict[str, Any]]:
            yield {"requests": self.rows, "splits": [np.arange(len(self.rows))]}

    return These()
