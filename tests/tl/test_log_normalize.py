import warnings

import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from cellprism.tl import log_normalize


@pytest.fixture
def counts():
    counts = np.random.default_rng(0).poisson(1.0, size=(30, 12)).astype(np.float32)
    counts[4] = 0
    return counts


@pytest.mark.parametrize("target_sum", [None, 1e4])
def test_log_normalize_equals_scanpy(counts, target_sum):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import scanpy as sc

        adata = AnnData(counts.copy())
        sc.pp.normalize_total(adata, target_sum=target_sum)
        sc.pp.log1p(adata)
    np.testing.assert_allclose(log_normalize(counts, target_sum=target_sum), adata.X, rtol=1e-5)


@pytest.mark.parametrize("to_sparse", [sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array, sparse.coo_matrix])
def test_log_normalize_agrees_for_dense_and_sparse(counts, to_sparse):
    normalized = log_normalize(to_sparse(counts))
    assert normalized.format == "csr"
    np.testing.assert_allclose(normalized.toarray(), log_normalize(counts), rtol=1e-6)


def test_log_normalize_gives_every_cell_with_counts_the_target_sum(counts):
    totals = np.expm1(log_normalize(counts, target_sum=100.0)).sum(axis=1)
    np.testing.assert_allclose(np.delete(totals, 4), 100, rtol=1e-5)


def test_log_normalize_keeps_cells_without_counts_at_zero(counts):
    assert (log_normalize(counts)[4] == 0).all()
    assert (log_normalize(np.zeros((2, 3))) == 0).all()


def test_log_normalize_does_not_change_when_a_cell_is_sequenced_deeper(counts):
    deeper = counts.copy()
    deeper[0] *= 7
    np.testing.assert_allclose(
        log_normalize(deeper, target_sum=10.0), log_normalize(counts, target_sum=10.0), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("dtype", "expected"), [(np.int64, np.float32), (np.float32, np.float32), (np.float64, np.float64)]
)
def test_log_normalize_leaves_its_input_alone_and_keeps_precision(counts, dtype, expected):
    counts = sparse.csr_matrix(counts.astype(dtype))
    before = counts.copy()
    assert log_normalize(counts).dtype == expected
    assert (counts != before).nnz == 0


@pytest.mark.parametrize(("value", "message"), [(-1.0, "negative"), (np.nan, "NaN")])
def test_log_normalize_refuses_what_is_no_count(counts, value, message):
    counts[0, 0] = value
    with pytest.raises(ValueError, match=message):
        log_normalize(counts)
