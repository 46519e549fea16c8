import numpy as np
import pandas as pd
import pytest

from cellprism.tl import label_transfer, label_transfer_both_ways


@pytest.fixture
def cells():
    random = np.random.default_rng(0)
    labels = random.choice(["B", "NK", "T"], size=60)
    centres = {"B": [0, 0], "NK": [2, 0], "T": [0, 2]}
    return np.array([centres[label] for label in labels]) + random.normal(size=(60, 2)), labels


def majority_among_nearest(reference, reference_labels, query, k):
    predicted = []
    for cell in query:
        nearest = np.argsort(((cell - reference) ** 2).sum(axis=1))[:k]
        names, votes = np.unique(reference_labels[nearest], return_counts=True)
        predicted.append(names[np.argmax(votes)])
    return np.array(predicted)


def test_label_transfer_equals_a_vote_counted_by_hand(cells):
    embedding, labels = cells
    predicted = majority_among_nearest(embedding[:40], labels[:40], embedding[40:], 5)
    accuracy = label_transfer(embedding[:40], labels[:40], embedding[40:], labels[40:], k=5)
    assert accuracy == np.mean(predicted == labels[40:])


def test_label_transfer_of_cells_to_themselves_by_one_neighbour_is_one(cells):
    assert label_transfer(*cells, *cells, k=1) == 1


def test_label_transfer_leaves_out_cells_without_a_label(cells):
    embedding, labels = cells
    partly = labels.astype(object)
    partly[:10], partly[10:20] = None, np.nan
    expected = label_transfer(embedding[20:], labels[20:], embedding[20:], labels[20:])
    assert label_transfer(embedding, partly, embedding, partly) == expected


def test_label_transfer_takes_categories_and_numbers(cells):
    embedding, labels = cells
    codes = np.unique(labels, return_inverse=True)[1]
    expected = label_transfer(embedding, labels, embedding, labels)
    assert label_transfer(embedding, codes, embedding, codes) == expected
    categories = pd.Series(pd.Categorical(labels), index=[f"cell{i}" for i in range(60)])
    assert label_transfer(embedding, categories, embedding, categories) == expected


def test_label_transfer_lets_all_cells_vote_when_there_are_fewer_than_k(cells):
    embedding, labels = cells
    most_frequent = max(np.unique(labels[:5]), key=list(labels[:5]).count)
    accuracy = label_transfer(embedding[:5], labels[:5], embedding, labels, k=10)
    assert accuracy == np.mean(labels == most_frequent)


def test_label_transfer_refuses_a_wrong_number_of_labels(cells):
    with pytest.raises(ValueError, match="59 query labels for 60 cells"):
        label_transfer(*cells, cells[0], cells[1][:-1])


def test_label_transfer_refuses_cells_without_any_label(cells):
    with pytest.raises(ValueError, match="no labelled reference cell"):
        label_transfer(cells[0], [None] * 60, *cells)


def test_label_transfer_both_ways_uses_the_reference_of_the_other_side(cells):
    x, labels = cells
    y = x + 0.5
    training = np.arange(60) < 40
    both = label_transfer_both_ways(
        x, labels, y, labels, reference=(training, training), query=(~training, ~training), k=3
    )
    forward = label_transfer(x[:40], labels[:40], y[40:], labels[40:], k=3)
    backward = label_transfer(y[:40], labels[:40], x[40:], labels[40:], k=3)
    assert both.to_dict() == {"x to y": forward, "y to x": backward, "both": (forward + backward) / 2}
