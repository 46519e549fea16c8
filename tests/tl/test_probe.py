import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn import metrics
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from cellprism.datasets import simulated
from cellprism.tl._cross_fitting import cross_fit, fold_numbers, shuffled_rows
from cellprism.tl._probe import probe
from cellprism.tl._probe_scores import weighted_auroc, weighted_r2

N_CELLS = 240


@pytest.fixture
def random():
    return np.random.default_rng(0)


@pytest.fixture
def block(random):
    return random.normal(size=(N_CELLS, 4))


def only(scores):
    (row,) = scores.to_dict("records")
    return row


def test_each_factor_is_found_in_its_block_and_nowhere_else():
    factors = simulated("fully_independent", n_cells=400).obsm["factors"]
    noise = np.random.default_rng(1).normal(scale=0.3, size=(400, 5))
    noisy = factors + noise
    blocks = {"shared": noisy[["Z1", "Z2"]], "x": noisy[["Z3", "Z4"]], "y": noisy[["Z5"]]}
    scores = probe({name: block.to_numpy() for name, block in blocks.items()}, factors, seed=1)
    for row in scores.to_dict("records"):
        is_inside = row["target"] in blocks[row["block"]]
        assert (row["score"] > 0.5) == is_inside
        assert (row["p_value"] == pytest.approx(1 / 101)) == is_inside
        assert row["lower"] <= row["score"] <= row["upper"]


def test_r2_is_that_of_scikit_learn_on_cross_fitted_predictions(block, random):
    target = block[:, 0] + random.normal(size=N_CELLS)
    predicted = cross_fit(block, fold_numbers(N_CELLS, 5, seed=3), "linear").predict(target[:, None])
    row = only(probe({"shared": block}, {"size": target}, n_permutations=2, seed=3))
    assert row["score"] == pytest.approx(metrics.r2_score(target, predicted[:, 0]))
    assert row["metric"] == "r2"


def test_auroc_is_nearly_that_of_a_logistic_regression_on_the_same_folds(block, random):
    classes = np.array(["B", "NK", "T"])[np.argmax(block[:, :3] + random.normal(size=(N_CELLS, 3)), axis=1)]
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    probabilities = cross_val_predict(LogisticRegression(), block, classes, cv=folds, method="predict_proba")
    row = only(probe({"shared": block}, {"type": classes}, n_permutations=2))
    assert row["score"] == pytest.approx(metrics.roc_auc_score(classes, probabilities, multi_class="ovr"), abs=0.01)
    assert row["metric"] == "auroc"


def test_a_class_between_others_is_told_from_both(random):
    position = random.uniform(-3, 3, size=(N_CELLS, 1))
    classes = np.digitize(position[:, 0], [-1, 1]).astype(str)
    assert only(probe({"shared": position}, {"type": classes}, n_permutations=2))["score"] > 0.95


@pytest.mark.parametrize("ties", [False, True])
def test_weights_of_cells_count_as_copies(random, ties):
    observed = np.eye(3)[random.integers(3, size=50)]
    predicted = random.integers(4, size=(50, 3)) * 1.0 if ties else random.normal(size=(50, 3))
    weights = random.integers(3, size=50)
    copies = np.repeat(np.arange(50), weights)
    area = weighted_auroc(observed, predicted)(weights.astype(float))
    expected = [metrics.roc_auc_score(observed[copies, k], predicted[copies, k]) for k in range(3)]
    assert area == pytest.approx(np.mean(expected))
    r2 = weighted_r2(observed[:, :1], predicted[:, :1])(weights.astype(float))
    assert r2 == pytest.approx(metrics.r2_score(observed[copies, 0], predicted[copies, 0]))


@pytest.mark.parametrize("leak", ["square", "exclusive or"])
def test_a_nonlinear_leak_is_seen_by_the_nonlinear_model_alone(random, leak):
    quarter = np.abs(random.normal(size=(60, 4)))
    block = np.vstack([quarter * [x, y, 1, 1] for x in (-1, 1) for y in (-1, 1)])
    target = {"square": block[:, 0] ** 2, "exclusive or": block[:, 0] * block[:, 1] > 0}[leak]
    options = {"n_permutations": 19, "seed": 2}
    linear, nonlinear = (
        only(probe({"rna": block}, {leak: target}, model=model, **options)) for model in ("linear", "nonlinear")
    )
    assert linear["p_value"] > 0.05
    assert nonlinear["p_value"] == 0.05
    assert nonlinear["lower"] > nonlinear["null_upper"]


@pytest.mark.parametrize("kind", ["numbers", "classes"])
def test_p_values_are_uniform_where_there_is_nothing_to_find(random, kind):
    p_values = []
    for _ in range(40):
        block = random.normal(size=(60, 2))
        target = random.normal(size=60) if kind == "numbers" else random.choice(["a", "b"], size=60)
        p_values.append(only(probe({"rna": block}, {"none": target}, n_permutations=19))["p_value"])
    jittered = np.array(p_values) - random.uniform(0, 0.05, size=40)
    assert stats.kstest(jittered, "uniform").pvalue > 0.01


def test_the_effect_is_the_distance_from_the_null_in_its_deviations(block):
    row = only(probe({"shared": block}, {"size": block[:, 0]}, n_permutations=20))
    orders = list(shuffled_rows(fold_numbers(N_CELLS, 5), None, 20))
    fit = cross_fit(block, fold_numbers(N_CELLS, 5), "linear")
    targets = [block[order, :1] for order in orders]
    null = [metrics.r2_score(target, fit.predict(target)) for target in targets]
    assert row["null_mean"] == pytest.approx(np.mean(null))
    assert row["null_upper"] == pytest.approx(np.quantile(null, 0.95))
    assert row["effect"] == pytest.approx((row["score"] - np.mean(null)) / np.std(null, ddof=1))


def test_permutations_keep_cells_in_their_folds_and_hit_every_cell_once():
    fold_of = fold_numbers(30, 5)
    for order in shuffled_rows(fold_of, None, 5):
        np.testing.assert_array_equal(np.sort(order), np.arange(30))
        np.testing.assert_array_equal(fold_of[order], fold_of)


def test_permutations_exchange_whole_groups_where_groups_have_one_value():
    groups = np.repeat([0, 1, 2], 4)
    for order in shuffled_rows(groups, groups, 5, constant_in_groups=True):
        assert sorted(np.unique(groups[order])) == [0, 1, 2]
        assert all(len(np.unique(groups[order][groups == group])) == 1 for group in range(3))


def test_cells_of_a_group_are_held_out_together():
    groups = np.random.default_rng(0).integers(8, size=100)
    fold_of = fold_numbers(100, 4, groups=groups)
    assert all(len(np.unique(fold_of[groups == group])) == 1 for group in range(8))
    assert len(np.unique(fold_of)) == 4


def test_a_block_that_knows_donors_alone_does_not_know_their_diagnosis(random):
    donors = np.repeat([f"donor{i}" for i in range(12)], 20)
    block = np.repeat(random.normal(size=(12, 6)), 20, axis=0) + 0.1 * random.normal(size=(N_CELLS, 6))
    diagnosis = np.repeat(random.permutation([True, False] * 6), 20)
    naive = only(probe({"shared": block}, {"diagnosis": diagnosis}))
    honest = only(probe({"shared": block}, {"diagnosis": diagnosis}, groups=donors))
    assert naive["p_value"] == pytest.approx(1 / 101)
    assert honest["p_value"] > 0.05
    assert honest["upper"] - honest["lower"] > 3 * (naive["upper"] - naive["lower"])


def test_cells_without_embedding_or_value_and_rare_classes_are_left_out(block):
    classes = np.where(block[:, 0] > 0, "high", "low").astype(object)
    classes[:3], classes[3:10] = "rare", None
    size = pd.Series(block[:, 1])
    size[:5] = np.nan
    gaps = block.copy()
    gaps[-20:, 1] = np.nan
    targets = pd.DataFrame({"level": pd.Categorical(classes), "size": size})
    scores = probe({"full": block, "gaps": gaps}, targets, n_permutations=2)
    assert scores["n_cells"].tolist() == [N_CELLS - 10, N_CELLS - 5, N_CELLS - 30, N_CELLS - 25]
    kept = probe({"gaps": block[10:-20]}, targets["level"][10:-20].astype(str).to_frame(), n_permutations=2)
    assert scores["score"][2] == kept["score"][0]


@pytest.mark.parametrize(
    ("values", "metric"),
    [
        (np.arange(40), "r2"),
        (pd.Series([None, *range(39)], dtype="Int64"), "r2"),
        (pd.Series([True, False] * 20, dtype="boolean"), "auroc"),
        (pd.Categorical([1, 2] * 20), "auroc"),
        (["a", "b"] * 20, "auroc"),
    ],
)
def test_classes_and_numbers_are_told_by_their_type(random, values, metric):
    assert only(probe({"x": random.normal(size=(40, 2))}, {"target": values}, n_permutations=2))["metric"] == metric


def test_the_same_seed_gives_the_same_scores(block):
    targets = {"size": block[:, 0], "level": block[:, 1] > 0}
    options = {"n_permutations": 3, "model": "nonlinear", "seed": 4}
    first, second = (probe({"shared": block}, targets, **options) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)


def test_probe_says_what_does_not_fit(block):
    size = block[:, 0]
    with pytest.raises(
        ValueError, match=r"'shared': 240, 'rna': 239\} cells, expected one or more arrays with the same"
    ):
        probe({"shared": block, "rna": block[1:]}, {"size": size})
    with pytest.raises(ValueError, match=r"block 'shared' of shape \(240,\), expected \(cells, width\)"):
        probe({"shared": size}, {"size": size})
    with pytest.raises(ValueError, match=r"target 'size' of shape \(3,\) for 240 cells"):
        probe({"shared": block}, {"size": size[:3]})
    with pytest.raises(ValueError, match=r"target 'size' of shape \(240, 4\)"):
        probe({"shared": block}, {"size": block})
    with pytest.raises(ValueError, match="240 usable cells with 1 different values of target 'size'"):
        probe({"shared": block}, {"size": 0 * size})
    with pytest.raises(ValueError, match="0 usable cells with 0 classes of at least 5 cells each of target 'barcode'"):
        probe({"shared": block}, {"barcode": [f"cell{i}" for i in range(N_CELLS)]})
    with pytest.raises(ValueError, match="target 'day' of type datetime64"):
        probe({"shared": block}, {"day": pd.Series(pd.date_range("2024-01-01", periods=N_CELLS))})
    with pytest.raises(ValueError, match="model='trees', expected 'linear' or 'nonlinear'"):
        probe({"shared": block}, {"size": size}, model="trees")
    with pytest.raises(ValueError, match="n_permutations=1, expected at least 2"):
        probe({"shared": block}, {"size": size}, n_permutations=1)
    with pytest.raises(ValueError, match="3 groups for n_folds=5"):
        probe({"shared": block}, {"size": size}, groups=["a", "b", "c"] * 80)
    with pytest.raises(ValueError, match="239 groups for 240 cells"):
        probe({"shared": block}, {"size": size}, groups=["a"] * 239)
    with pytest.raises(ValueError, match="2 cells without a group"):
        probe({"shared": block}, {"size": size}, groups=[None, None, *["a"] * 238])
    with pytest.raises(ValueError, match="n_folds=1 for 240 cells"):
        probe({"shared": block}, {"size": size}, n_folds=1)
    with pytest.raises(ValueError, match="no targets"):
        probe({"shared": block}, {})
