"""From MuData to tensors: the only place that knows which cell was measured in which modality."""

from cellprism.data._backed import read_backed
from cellprism.data._batch import Batch, Observed, empty_batch
from cellprism.data._dataset import CellDataset
from cellprism.data._fields import CategoryField, MarkerField, ModalityField
from cellprism.data._image_rows import ImageRows
from cellprism.data._loader import CellLoader
from cellprism.data._manager import CellManager
from cellprism.data._read import (
    Matrix,
    check_unique,
    closest,
    obs_columns,
    read_matrix,
    read_obs,
    slot_path,
    stored_values,
)
from cellprism.data._rows import DenseRows, Rows, SparseRows, map_stored, scale_columns, scale_rows
from cellprism.data._stored_rows import StoredRows
from cellprism.data._stored_slots import is_stored, some_in_memory

__all__ = [
    "Batch",
    "CategoryField",
    "CellDataset",
    "CellLoader",
    "CellManager",
    "DenseRows",
    "ImageRows",
    "MarkerField",
    "Matrix",
    "ModalityField",
    "Observed",
    "Rows",
    "SparseRows",
    "StoredRows",
    "check_unique",
    "closest",
    "empty_batch",
    "is_stored",
    "map_stored",
    "obs_columns",
    "read_backed",
    "read_matrix",
    "read_obs",
    "scale_columns",
    "scale_rows",
    "slot_path",
    "some_in_memory",
    "stored_values",
]
