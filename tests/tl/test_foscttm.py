import numpy as np
import pytest

from cellprism.tl import foscttm
from cellprism.tl._matrices import check_partners


@pytest.fixture
def pair():
    random = np.random.default_rng(0)
    x = random.normal(size=(40, 3))
    return x, x + random.normal(size=(40, 3))


def brute_force(x, y):
    fractions = []
    for query, partners in ((x, y), (y, x)):
        for i, cell in enumerate(query):
            distances = np.sqrt(((cell - partners) ** 2).sum(axis=1))
            others = np.delete(distances, i)
            fractions.append(((others < distances[i]) + 0.5 * (others == distances[i])).mean())
    return np.mean(fractions)


def test_foscttm_is_zero_for_identical_embeddings(pair):
    assert foscttm(pair[0], pair[0]) == 0


def test_foscttm_is_one_half_for_an_embedding_that_tells_nothing(pair):
    assert foscttm(pair[0], np.zeros_like(pair[0])) == 0.5


def test_foscttm_is_one_for_reversed_pairs_of_cells():
    x = np.array([[0.0], [1.0]])
    assert foscttm(x, x[::-1].copy()) == 1


def test_foscttm_equals_a_loop_over_cells(pair):
    assert foscttm(*pair) == pytest.approx(brute_force(*pair), abs=1e-12)


def test_foscttm_equals_a_loop_over_cells_when_distances_tie():
    random = np.random.default_rng(1)
    x, y = random.integers(0, 3, size=(2, 30, 2)).astype(float)
    assert foscttm(x, y) == pytest.approx(brute_force(x, y), abs=1e-12)


@pytest.mark.parametrize("chunk_size", [1, 7, 40, 1000])
def test_foscttm_does_not_depend_on_the_chunk_size(pair, chunk_size):
    assert foscttm(*pair, chunk_size=chunk_size) == foscttm(*pair)


def test_foscttm_does_not_change_when_cells_are_permuted_together(pair):
    order = np.random.default_rng(2).permutation(40)
    assert foscttm(pair[0][order], pair[1][order]) == pytest.approx(foscttm(*pair), abs=1e-12)


def test_foscttm_does_not_change_when_both_embeddings_are_rotated(pair):
    rotation = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    assert foscttm(pair[0] @ rotation, pair[1] @ rotation) == pytest.approx(foscttm(*pair), abs=1e-12)


def test_foscttm_is_symmetric(pair):
    assert foscttm(pair[1], pair[0]) == pytest.approx(foscttm(*pair), abs=1e-12)


def test_foscttm_per_cell_averages_to_foscttm(pair):
    per_cell = foscttm(*pair, per_cell=True)
    assert per_cell.shape == (40,)
    assert per_cell.mean() == foscttm(*pair)


def test_foscttm_of_unrelated_embeddings_is_near_one_half():
    x, y = np.random.default_rng(4).normal(size=(2, 500, 5))
    assert foscttm(x, y) == pytest.approx(0.5, abs=0.03)


def test_partners_of_different_number_are_refused():
    with pytest.raises(ValueError, match=r"shape \(3, 2\) and \(4, 2\)"):
        check_partners(np.zeros((3, 2)), np.zeros((4, 2)))


def test_embeddings_with_nan_are_refused(pair):
    x = pair[0].copy()
    x[3, 1] = np.nan
    with pytest.raises(ValueError, match="first embedding has NaN"):
        foscttm(x, pair[1])
