import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import metrics
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from cellprism.tl import classifier_transfer


@pytest.fixture
def cells():
    """Training and held-out cells of three classes, with their labels."""
    random = np.random.default_rng(0)
    labels = random.choice(["G1", "G2", "S"], size=90)
    centres = {"G1": [0, 0, 0], "G2": [2, 0, 0], "S": [0, 2, 0]}
    measured = np.array([centres[label] for label in labels]) + random.normal(size=(90, 3))
    return measured[:60], labels[:60], measured[60:], labels[60:]


def test_scores_are_those_of_scikit_learn_with_a_shallow_forest(cells):
    training, classes, held_out, labels = cells
    blurred = 0.5 * held_out
    scores = classifier_transfer(*cells, {"model": blurred}).scores
    forest = RandomForestClassifier(100, max_depth=2, random_state=0).fit(training, classes)
    for method, seen in {"real": held_out, "model": blurred}.items():
        probabilities = forest.predict_proba(seen)
        expected = [
            metrics.roc_auc_score(labels == name, probabilities[:, j]) for j, name in enumerate(["G1", "G2", "S"])
        ]
        assert list(scores.loc[method, ["auc G1", "auc G2", "auc S"]]) == pytest.approx(expected)
        assert scores.loc[method, "auc"] == pytest.approx(np.mean(expected))
        accuracy = metrics.balanced_accuracy_score(labels, forest.predict(seen))
        assert scores.loc[method, "balanced_accuracy"] == pytest.approx(accuracy)


def test_a_translation_that_is_the_truth_scores_as_real_cells_and_a_constant_one_at_chance(cells):
    scores = classifier_transfer(*cells, {"truth": cells[2], "constant": 0 * cells[2]}).scores
    pd.testing.assert_series_equal(scores.loc["truth"], scores.loc["real"], check_names=False)
    assert (scores.loc["constant", ["auc", "auc G1", "auc G2", "auc S"]] == 0.5).all()
    assert scores.loc["constant", "balanced_accuracy"] == pytest.approx(1 / 3)


def test_the_area_under_the_curves_is_the_auc(cells):
    transfer = classifier_transfer(*cells, {"model": cells[2][:, ::-1]})
    for (method, name), curve in transfer.curves.groupby(["method", "class"]):
        area = metrics.auc(curve["false_positive_rate"], curve["true_positive_rate"])
        assert area == pytest.approx(transfer.scores.loc[method, f"auc {name}"])
    assert transfer.curves.groupby(["method", "class"]).ngroups == 6


def test_any_classifier_is_taken_and_left_unfitted(cells):
    regression = LogisticRegression()
    scores = classifier_transfer(*cells, {}, classifier=regression).scores
    fitted = LogisticRegression().fit(*cells[:2])
    assert scores.loc["real", "balanced_accuracy"] == metrics.balanced_accuracy_score(
        cells[3], fitted.predict(cells[2])
    )
    assert "coef_" not in vars(regression)


def test_translated_cells_may_be_others_than_the_held_out_ones(cells):
    training, classes, held_out, labels = cells
    scores = classifier_transfer(*cells, {"model": held_out[:12]}, translated_labels=labels[:12]).scores
    expected = classifier_transfer(training, classes, held_out[:12], labels[:12], {}).scores
    pd.testing.assert_series_equal(scores.loc["model"], expected.loc["real"], check_names=False)


def test_cells_without_a_label_are_left_out(cells):
    training, classes, held_out, labels = cells
    seen, scored = classes.astype(object), labels.astype(object)
    seen[:20], scored[:5] = None, np.nan
    expected = classifier_transfer(training[20:], classes[20:], held_out[5:], labels[5:], {"m": held_out[5:]})
    found = classifier_transfer(training, pd.Categorical(seen), held_out, scored, {"m": held_out})
    pd.testing.assert_frame_equal(found.scores, expected.scores)


def test_sparse_cells_are_scored_as_dense_ones(cells):
    training, classes, held_out, labels = cells
    expected = classifier_transfer(*cells, {"m": held_out}).scores
    rows = sparse.csr_matrix(training), classes, sparse.csc_matrix(held_out), labels
    pd.testing.assert_frame_equal(classifier_transfer(*rows, {"m": sparse.csr_matrix(held_out)}).scores, expected)


def as_bytes(matrix):
    return np.clip(matrix * 30 + 90, 0, 255).astype(np.uint8).reshape(-1, 1, 1, 3)


def test_images_are_classified_by_their_pixels_as_shares_of_their_range(cells):
    training, classes, held_out, labels = cells
    real, hidden = as_bytes(training), as_bytes(held_out)
    shares = hidden / 255
    scores = classifier_transfer(real, classes, hidden, labels, {"shares": shares.astype(np.float32)}).scores
    pd.testing.assert_series_equal(scores.loc["shares"], scores.loc["real"], check_names=False)
    flat = classifier_transfer(real.reshape(-1, 3) / 255, classes, shares.reshape(-1, 3), labels, {}).scores
    assert scores.loc["real", "auc"] == pytest.approx(flat.loc["real", "auc"])


def test_images_are_classified_by_features_if_these_are_given(cells):
    training, classes, held_out, labels = cells

    def brightness(images):
        return pd.DataFrame({"mean": images.mean(axis=(1, 2, 3))})

    found = classifier_transfer(as_bytes(training), classes, as_bytes(held_out), labels, {}, features=brightness)
    tables = [brightness(as_bytes(side) / np.float32(255)).to_numpy() for side in (training, held_out)]
    expected = classifier_transfer(tables[0], classes, tables[1], labels, {})
    assert found.scores.loc["real", "auc"] == pytest.approx(expected.scores.loc["real", "auc"])


def test_a_class_that_no_scored_cell_has_leaves_no_auc(cells):
    training, classes, held_out, labels = cells
    kept = labels != "S"
    transfer = classifier_transfer(training, classes, held_out[kept], labels[kept], {})
    row = transfer.scores.loc["real"]
    assert np.isnan(row["auc S"])
    assert row["auc"] == pytest.approx((row["auc G1"] + row["auc G2"]) / 2)
    assert set(transfer.curves["class"]) == {"G1", "G2"}


def test_classifier_transfer_says_what_does_not_fit(cells):
    training, classes, held_out, labels = cells
    with pytest.raises(ValueError, match="29 labels for 30 cells of 'model'"):
        classifier_transfer(*cells, {"model": held_out}, translated_labels=labels[1:])
    with pytest.raises(ValueError, match=r"cells of 'model' of shape \(2,\) and training cells of \(3,\)"):
        classifier_transfer(*cells, {"model": held_out[:, 1:]})
    with pytest.raises(ValueError, match=r"classes \['G1'\] among the training labels"):
        classifier_transfer(training, ["G1"] * 60, held_out, labels, {})
    with pytest.raises(ValueError, match=r"cells of 'real' with labels \['M'\], expected .*\['G1', 'G2', 'S'\]"):
        classifier_transfer(training, classes, held_out, ["M", *labels[1:]], {})
    with pytest.raises(ValueError, match="method called 'real'"):
        classifier_transfer(*cells, {"real": held_out})
    with pytest.raises(ValueError, match="no labelled cell among 30 of 'real'"):
        classifier_transfer(training, classes, held_out, [None] * 30, {})
    with pytest.raises(ValueError, match=r"floating ones reach .*dividing by 255"):
        classifier_transfer(as_bytes(training), classes, as_bytes(held_out) * 1.0, labels, {})
