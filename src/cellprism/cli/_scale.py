"""The scale on which measured and predicted values of a modality are compared."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from cellprism.data import Matrix
from cellprism.modalities import Counts, Features, Images, Modality, Peaks
from cellprism.tl import log_normalize


@dataclass(frozen=True)
class Scale:
    """How a modality is compared; statistics are those of the training cells.

    Parameters
    ----------
    name
        Words for the table.
    telling
        Transforms measured values before anything is predicted from them.
    measured
        Transforms measured values before they are compared with predictions.
    predicted
        Transforms predictions.
    """

    name: str
    telling: Callable[[Matrix], Matrix]
    measured: Callable[[Matrix], Matrix]
    predicted: Callable[[Matrix], Matrix]


def scale_of(modality: Modality, training: Matrix, *, size_normalised: bool = True) -> Scale:
    """Choose the scale by the kind of the modality.

    Parameters
    ----------
    modality
        Kind of the modality.
    training
        Its measured values in the training cells.
    size_normalised
        Whether counts are divided by the size of the cell; a prediction of raw counts must also get sizes right.
    """
    if isinstance(modality, Counts | Peaks):
        normalize = _log1p
        if size_normalised:
            totals = np.asarray(training.sum(axis=1)).ravel()
            normalize = partial(log_normalize, target_sum=float(np.median(totals[totals > 0])))
        if isinstance(modality, Peaks) and modality.likelihood == "bernoulli":
            return Scale("open or not", normalize, _is_positive, _unchanged)
        name = "log1p, size-normalised" if size_normalised else "log1p of counts"
        return Scale(name, normalize, normalize, normalize)
    if isinstance(modality, Features) and modality.likelihood == "gaussian":
        dense = _dense(training)
        spread = dense.std(axis=0)
        standardise = partial(_standardised, mean=dense.mean(axis=0), spread=np.where(spread > 0, spread, 1))
        return Scale("standardised", standardise, standardise, standardise)
    if isinstance(modality, Images):
        return Scale("intensities", _as_fractions, _as_fractions, _as_fractions)
    return Scale("as measured", _unchanged, _unchanged, _unchanged)


@dataclass(frozen=True)
class Measured:
    """One modality's values, looked up by cell name.

    Parameters
    ----------
    adata
        The modality.
    modality
        What it is, which says where its values and predictions lie.
    scale
        How its values are compared.
    """

    adata: AnnData
    modality: Modality
    scale: Scale

    @classmethod
    def of(cls, adata: AnnData, modality: Modality, training: pd.Index, *, size_normalised: bool = True) -> "Measured":
        """Fit the scale on the training cells among those measured."""
        rows = _matrix(adata, _slot(modality))[adata.obs_names.isin(training)]
        return cls(adata, modality, scale_of(modality, rows, size_normalised=size_normalised))

    @property
    def cells(self) -> pd.Index:
        """Names of the cells."""
        return self.adata.obs_names

    def telling(self, cells: pd.Index) -> Matrix:
        """Give values to predict from."""
        return self.scale.telling(self._rows(cells, _slot(self.modality)))

    def measured(self, cells: pd.Index) -> Matrix:
        """Give values to compare with."""
        return self.scale.measured(self._rows(cells, _slot(self.modality)))

    def predicted(self, cells: pd.Index, key: str) -> Matrix:
        """Give predictions that :meth:`~cellprism.CrossModalVAE.write` wrote under a key."""
        return self.scale.predicted(self._rows(cells, self.modality.own_slot(key)))

    def has_predicted(self, key: str) -> bool:
        """Whether there are such predictions."""
        place, _, name = self.modality.own_slot(key).partition("/")
        return name in getattr(self.adata, place)

    def _rows(self, cells: pd.Index, slot: str) -> Matrix:
        return _matrix(self.adata, slot)[self.cells.get_indexer(cells)]


def _slot(modality: Modality) -> str:
    """Where the measurements lie, as ``"X"`` or ``"place/key"``."""
    if isinstance(modality, Images):
        return f"obsm/{modality.key}"
    layer = getattr(modality, "layer", None)
    return "X" if layer is None else f"layers/{layer}"


def _matrix(adata: AnnData, slot: str) -> Matrix:
    place, _, key = slot.partition("/")
    matrix = getattr(adata, place)[key] if key else adata.X
    return matrix.tocsr() if sparse.issparse(matrix) else np.asarray(matrix)


def _dense(matrix: Matrix) -> np.ndarray:
    return np.asarray(matrix.toarray() if sparse.issparse(matrix) else matrix, dtype=np.float64)


def _standardised(matrix: Matrix, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    return (_dense(matrix) - mean) / spread


def _log1p(matrix: Matrix) -> Matrix:
    return matrix.log1p() if sparse.issparse(matrix) else np.log1p(matrix)


def _is_positive(matrix: Matrix) -> Matrix:
    return (matrix > 0).astype(np.float32)


def _as_fractions(images: np.ndarray) -> np.ndarray:
    """Give intensities as fractions of the range of their type, one row a cell."""
    full = np.iinfo(images.dtype).max if images.dtype.kind == "u" else 1
    return np.float32(images).reshape(len(images), -1) / full


def _unchanged(matrix: Matrix) -> Matrix:
    return matrix
