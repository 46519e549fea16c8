import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from cellprism.tl import partner_recall


@pytest.fixture
def pair():
    random = np.random.default_rng(0)
    x = random.normal(size=(50, 4))
    return x, x + random.normal(size=(50, 4))


def recall_by_scikit_learn(x, y, k, metric):
    shares = []
    for query, partners in ((x, y), (y, x)):
        neighbours = NearestNeighbors(n_neighbors=k, metric=metric).fit(partners).kneighbors(query)[1]
        shares.append(np.mean([i in row for i, row in enumerate(neighbours)]))
    return np.mean(shares)


@pytest.mark.parametrize("metric", ["euclidean", "cityblock"])
@pytest.mark.parametrize("k", [1, 5, 50])
def test_partner_recall_equals_a_neighbour_search_by_scikit_learn(pair, k, metric):
    assert partner_recall(*pair, k=k, metric=metric) == pytest.approx(
        recall_by_scikit_learn(*pair, k, metric), abs=1e-12
    )


def test_partner_recall_is_one_for_identical_embeddings(pair):
    assert partner_recall(pair[0], pair[0], k=1) == 1


@pytest.mark.parametrize("k", [1, 10])
def test_partner_recall_is_chance_for_an_embedding_that_tells_nothing(pair, k):
    assert partner_recall(pair[0], np.zeros_like(pair[0]), k=k) == pytest.approx(k / 50)


def test_partner_recall_is_one_when_k_reaches_all_cells(pair):
    assert partner_recall(*pair, k=60) == 1


def test_partner_recall_does_not_change_when_cells_are_permuted_together(pair):
    order = np.random.default_rng(2).permutation(50)
    assert partner_recall(pair[0][order], pair[1][order]) == pytest.approx(partner_recall(*pair))


def test_partner_recall_refuses_less_than_one_neighbour(pair):
    with pytest.raises(ValueError, match="k=0"):
        partner_recall(*pair, k=0)
