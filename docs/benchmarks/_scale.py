"""Scales on which a benchmark compares measured and predicted values."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from cellprism import tl
from cellprism.modalities import Counts, Modality, Peaks

SCALE_NAMES = {False: "log1p of raw counts", True: "log1p of size-normalised counts"}


@dataclass(frozen=True)
class Scale:
    """Transformation of one modality's values; means and spreads are those of the training cells.

    Parameters
    ----------
    modality
        Kind of the modality.
    size_normalised
        Whether counts are divided by the size of the cell before the logarithm.
    training
        Raw values of the training cells.
    """

    modality: Modality
    size_normalised: bool
    training: np.ndarray | sparse.csr_matrix

    def __call__(self, values: np.ndarray | sparse.csr_matrix) -> np.ndarray:
        """Logarithm of counts, peaks as open or not, then standardised."""
        mean, spread = self._moments
        return (self._logarithm(values) - mean) / spread

    @cached_property
    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        training = self._logarithm(self.training)
        spread = training.std(axis=0)
        return training.mean(axis=0), np.where(spread > 0, spread, 1)

    def _logarithm(self, values: np.ndarray | sparse.csr_matrix) -> np.ndarray:
        dense = values.toarray() if sparse.issparse(values) else np.asarray(values)
        if isinstance(self.modality, Peaks):
            return np.minimum(dense, 1)  # detections, or the probability of one
        if not isinstance(self.modality, Counts):
            return dense
        if not self.size_normalised:
            return np.log1p(dense)
        totals = np.asarray(self.training.sum(axis=1)).ravel()
        return tl.log_normalize(dense, target_sum=float(np.median(totals[totals > 0])))
