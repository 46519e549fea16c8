import numpy as np
import pytest
import torch
from scipy import sparse

from cellprism.data import DenseRows, Rows, SparseRows, map_stored, scale_columns, scale_rows

SHAPE = (9, 6)
TAKEN = [4, 4, 0, 8, 2]


@pytest.fixture
def matrix() -> sparse.csr_matrix:
    """With an empty row and an empty column."""
    matrix = sparse.random(*SHAPE, density=0.4, format="csr", random_state=0, dtype=np.float32).toarray()
    matrix[4] = 0
    matrix[:, 3] = 0
    return sparse.csr_matrix(matrix)


@pytest.fixture(params=["sparse", "dense"])
def rows(request, matrix) -> Rows:
    return SparseRows.from_scipy(matrix) if request.param == "sparse" else DenseRows.from_numpy(matrix.toarray())


def test_dense_gives_what_scipy_gives(rows, matrix):
    np.testing.assert_array_equal(rows.dense().numpy(), matrix.toarray())
    assert len(rows) == SHAPE[0]
    assert rows.n_features == SHAPE[1]


def test_take_gives_what_scipy_indexing_gives(rows, matrix):
    taken = rows.take(torch.tensor(TAKEN))
    np.testing.assert_array_equal(taken.dense().numpy(), matrix[TAKEN].toarray())


def test_take_of_no_row_is_empty(rows):
    assert rows.take(torch.tensor([], dtype=torch.long)).dense().shape == (0, SHAPE[1])


def test_sums_are_those_of_scipy(rows, matrix):
    np.testing.assert_allclose(rows.sums().numpy(), np.asarray(matrix.sum(1)).ravel(), rtol=1e-6)
    np.testing.assert_allclose(rows.column_sums().numpy(), np.asarray(matrix.sum(0)).ravel(), rtol=1e-6)


def test_sums_after_take_are_those_of_the_taken_rows(rows, matrix):
    rows.sums()
    taken = rows.take(torch.tensor(TAKEN))
    np.testing.assert_allclose(taken.sums().numpy(), np.asarray(matrix[TAKEN].sum(1)).ravel(), rtol=1e-6)


def test_rows_and_columns_are_scaled_as_by_diagonal_matrices(rows, matrix):
    by_row, by_column = np.arange(1.0, 10, dtype=np.float32), np.arange(1.0, 7, dtype=np.float32)
    scaled = scale_columns(scale_rows(rows, torch.from_numpy(by_row)), torch.from_numpy(by_column))
    np.testing.assert_allclose(scaled.dense().numpy(), matrix.toarray() * by_row[:, None] * by_column, rtol=1e-6)


def test_a_function_that_keeps_zero_acts_on_every_value(rows, matrix):
    np.testing.assert_allclose(map_stored(rows, torch.log1p).dense().numpy(), np.log1p(matrix.toarray()), rtol=1e-6)


def test_images_keep_their_shape_and_dtype():
    images = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)
    rows = DenseRows.from_numpy(images)
    assert rows.values.dtype == torch.uint8
    assert rows.n_features == 48
    np.testing.assert_array_equal(rows.take(torch.tensor([1])).dense().numpy(), images[1:])
    np.testing.assert_array_equal(rows.sums().numpy(), images.sum((1, 2, 3)))


def test_rows_are_a_copy(matrix):
    values = matrix.toarray()
    dense, stored = DenseRows.from_numpy(values), SparseRows.from_scipy(matrix)
    expected = values.copy()
    values[:] = -1
    matrix.data[:] = -1
    np.testing.assert_array_equal(dense.dense().numpy(), expected)
    np.testing.assert_array_equal(stored.dense().numpy(), expected)


def test_values_that_are_not_kept_read_as_zero(rows):
    is_kept = torch.rand(rows.values.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    expected = rows.dense().clone()
    if isinstance(rows, SparseRows):
        dropped = (rows.pattern.rows[~is_kept], rows.pattern.indices[~is_kept].long())
        expected[dropped] = 0
        assert len(rows.keep(is_kept).values) == int(is_kept.sum())
    else:
        expected[~is_kept] = 0
    torch.testing.assert_close(rows.keep(is_kept).dense(), expected)
    torch.testing.assert_close(rows.keep(is_kept).sums(), expected.sum(1))


def test_rows_with_other_values_know_where_the_values_lie_without_a_second_look(matrix):
    rows = SparseRows.from_scipy(matrix)
    assert rows.with_values(rows.values * 2).pattern.rows is rows.pattern.rows


def test_memory_of_sparse_rows_is_that_of_their_parts(matrix):
    rows = SparseRows.from_scipy(matrix)
    assert rows.nbytes == 8 * (matrix.shape[0] + 1) + (4 + 4) * matrix.nnz
