import re

import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse
from tests.contracts.simulated import as_adata, counts, factors, linear_features

from cellprism.modalities import Counts, Features, Peaks, infer_modality

CELLS = [f"c{i}" for i in range(10)]


def adata(values) -> AnnData:
    return as_adata(values, CELLS, "x")


def raw() -> np.ndarray:
    return counts(factors(10), 6, 1) + 1


def with_peak_names() -> AnnData:
    found = adata(raw())
    found.var_names = [f"chr1:{i}00-{i}99" for i in range(1, 7)]
    return found


def with_feature_types() -> AnnData:
    found = adata(raw())
    found.var["feature_types"] = "Peaks"
    return found


def with_counts_layer() -> AnnData:
    found = adata(np.log1p(raw()))
    found.layers["counts"] = raw()
    return found


@pytest.mark.parametrize(
    ("build", "expected", "reason"),
    [
        (lambda: adata(raw()), Counts(), "non-negative integers"),
        (lambda: adata(sparse.csr_matrix(raw())), Counts(), "non-negative integers"),
        (lambda: adata(raw().astype(int)), Counts(), "non-negative integers"),
        (lambda: adata(linear_features(factors(10), 6, 1)), Features(), "continuous"),
        (lambda: adata(-raw()), Features(), "continuous"),
        (lambda: adata(np.float32(raw() > 3)), Features(likelihood="bernoulli"), r"\{0, 1\}"),
        (lambda: adata(sparse.random(10, 1200, 0.1, "csr", random_state=0).ceil()), Peaks(), "at least 1,000"),
        (with_peak_names, Peaks(), "named as peaks"),
        (with_feature_types, Peaks(), "named as peaks"),
        (with_counts_layer, Counts(layer="counts"), r"\.layers\['counts'\] holds non-negative integers"),
    ],
)
def test_kinds_are_inferred_from_values_and_names(build, expected, reason):
    modality, why = infer_modality(build(), "mdata['x']")
    assert modality == expected
    assert re.search(reason, why)


def test_nothing_is_inferred_from_nan():
    found = adata(raw())
    found.X[0, 0] = np.nan
    with pytest.raises(ValueError, match=r"mdata\['x'\]\.X has 1 NaN or infinite values"):
        infer_modality(found, "mdata['x']")
