"""A small engine over a handful of cells, without a model around it."""

import numpy as np
import torch
from tests.contracts.simulated import counts, factors, linear_features

from cellprism.data import Batch, CellDataset, DenseRows
from cellprism.latents import LatentLayout
from cellprism.modalities import Architecture, Counts, Features
from cellprism.module import LatentModule, Outputs
from cellprism.objectives import Objective

N_CELLS = 24
PRESENT = {"rna": range(16), "protein": range(8, N_CELLS)}
"""8 cells have RNA alone, 8 have both, 8 have protein alone."""


def small_dataset(present: dict[str, range] | None = None) -> CellDataset:
    """Two modalities, two batches, three classes with unlabelled cells, one marker."""
    present = present or PRESENT
    shared = factors(N_CELLS)
    values = {"rna": counts(shared, 9, 1), "protein": linear_features(shared, 7, 2)}
    row_of_cell = {}
    for name, cells in present.items():
        row_of_cell[name] = torch.full((N_CELLS,), -1)
        row_of_cell[name][torch.tensor(list(cells))] = torch.arange(len(cells))
    return CellDataset(
        {name: DenseRows(torch.from_numpy(values[name][list(cells)])) for name, cells in present.items()},
        row_of_cell,
        torch.arange(N_CELLS) % 2,
        torch.arange(N_CELLS) % 4 - 1,
        torch.from_numpy(np.float32(shared[:, :1])),
    )


def small_module(*objectives: Objective, n_private: int = 2, seed: int = 0) -> LatentModule:
    """The engine for :func:`small_dataset`, with statistics of all cells."""
    torch.manual_seed(seed)
    module = LatentModule(
        {"rna": Counts(), "protein": Features()},
        {"rna": (9,), "protein": (7,)},
        layout=LatentLayout.split(["rna", "protein"], n_shared=3, n_private=n_private),
        objectives=objectives,
        architecture=Architecture(n_hidden=8, n_layers=1, dropout_rate=0.0),
        n_batches=2,
        n_classes=3,
        n_markers=1,
    )
    for name, rows in small_dataset().rows.items():
        module.coders[name].fit_statistics(rows)
    return module.eval()


def whole_batch(dataset: CellDataset | None = None) -> Batch:
    """All cells at once."""
    dataset = dataset or small_dataset()
    return dataset.take(torch.arange(len(dataset)))


def outputs_of(module: LatentModule, batch: Batch | None = None) -> Outputs:
    """One forward pass."""
    return module(whole_batch() if batch is None else batch)
