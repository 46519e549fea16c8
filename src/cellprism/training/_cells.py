"""The cells of a stage, dealt to the processes that train together once it is known how many there are."""

import numpy as np
from lightning.pytorch import LightningDataModule

from cellprism.data import CellDataset, CellLoader


class Cells(LightningDataModule):
    """Serve the cells of a stage.

    Parameters
    ----------
    dataset
        Where the cells come from.
    training, validation
        Rows of the data set to learn from, and to stop by.
    batch_size
        Cells a minibatch, in each process.
    seed
        Fixes the order.
    """

    def __init__(
        self, dataset: CellDataset, training: np.ndarray, validation: np.ndarray, *, batch_size: int, seed: int
    ) -> None:
        super().__init__()
        self.dataset, self.batch_size, self.seed = dataset, batch_size, seed
        self.training, self.validation = training, validation

    def train_dataloader(self) -> CellLoader:
        """Serve the training cells of this process."""
        return self._loader(self.training, shuffle=True)

    def val_dataloader(self) -> CellLoader | list:
        """Serve the held-out cells of this process."""
        return self._loader(self.validation, shuffle=False) if len(self.validation) else []

    def own_cells(self) -> np.ndarray:
        """Rows of the data set that this process trains on or scores."""
        parts = (self._loader(cells, shuffle=False).served for cells in (self.training, self.validation))
        return np.unique(np.concatenate(list(parts)))

    def _loader(self, cells: np.ndarray, *, shuffle: bool) -> CellLoader:
        return CellLoader(
            self.dataset,
            cells,
            batch_size=self.batch_size,
            shuffle=shuffle,
            seed=self.seed,
            process=self.trainer.global_rank,
            n_processes=self.trainer.world_size,
        )
