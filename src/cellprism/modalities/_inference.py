"""Guess what kind of measurement an AnnData holds, and say why."""

import re

import numpy as np
from anndata import AnnData
from scipy import sparse

from cellprism import _keys
from cellprism.data import Matrix, read_matrix, some_in_memory, stored_values
from cellprism.modalities._base import Modality
from cellprism.modalities._counts import Counts
from cellprism.modalities._features import Features
from cellprism.modalities._images import Images
from cellprism.modalities._peaks import Peaks

_TABLES = ("X", "layers/counts")
_PEAK_NAME = re.compile(r"^\w+[:_-]\d+[-_:]\d+$")


def infer_modality(adata: AnnData, accessor: str) -> tuple[Modality, str]:
    """Infer the kind of a modality from its values and names; of data in a file, from some of the cells.

    Returns
    -------
    The modality and the reason, for the log.

    Raises
    ------
    ValueError
        If there is nothing to read, or it has NaN or infinite values.
    """
    key = _image_key(adata)
    if key is not None:
        return Images(key), f".obsm[{key!r}] has four axes"
    adata = some_in_memory(adata, _TABLES[: 1 + ("counts" in adata.layers)], accessor)
    matrix = read_matrix(adata, None, accessor)
    if _is_counts(matrix):
        return _infer_counts(adata, matrix)
    has_layer = "counts" in [name for name in adata.layers if name is not None]
    if has_layer and _is_counts(read_matrix(adata, "counts", accessor)):
        return Counts(layer="counts"), ".X is not counts, .layers['counts'] holds non-negative integers"
    return Features(), "values are continuous"


def _image_key(adata: AnnData) -> str | None:
    """``.obsm`` key of images; those that a model has written do not count."""
    keys = [key for key, value in adata.obsm.items() if np.ndim(value) == 4 and not _keys.is_predicted(key)]
    preferred = [key for key in ("image", "single_cell_images") if key in keys]
    return next(iter(preferred + keys), None)


def _infer_counts(adata: AnnData, matrix: Matrix) -> tuple[Modality, str]:
    if _are_peaks(adata):
        return Peaks(), "integers, and features are named as peaks"
    if stored_values(matrix).max(initial=0) <= 1:
        if sparse.issparse(matrix) and adata.n_vars >= 1000:
            return Peaks(), "sparse values in {0, 1}, at least 1,000 features"
        return Features(likelihood="bernoulli"), "values in {0, 1}"
    return Counts(), "non-negative integers"


def _is_counts(matrix: Matrix) -> bool:
    values = stored_values(matrix)
    return bool(values.size) and bool(values.min() >= 0) and bool((values == np.rint(values)).all())


def _are_peaks(adata: AnnData) -> bool:
    types = adata.var["feature_types"].astype(str) if "feature_types" in adata.var else None
    if types is not None and (types == "Peaks").mean() > 0.5:
        return True
    names = adata.var_names[:200].astype(str)
    return sum(bool(_PEAK_NAME.match(name)) for name in names) > len(names) / 2
