import numpy as np
import pytest
from scipy import sparse
from sklearn import metrics
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cellprism.tl._leakage import leakage

N_CELLS = 300


@pytest.fixture
def cells():
    """A shared block, private blocks of two modalities, and what is measured of each."""
    random = np.random.default_rng(0)
    shared, rna, atac = random.normal(size=(3, N_CELLS, 3))
    noise = random.normal(scale=0.3, size=(2, N_CELLS, 12))
    measured = {
        "rna": np.hstack([shared, rna]) @ random.normal(size=(6, 12)) + noise[0],
        "atac": np.hstack([shared, atac]) @ random.normal(size=(6, 12)) + noise[1],
    }
    return shared, {"rna": rna, "atac": atac}, measured


def by_pair(scores):
    return scores.set_index(["block", "target"])


def test_private_blocks_without_a_leak_are_within_the_null(cells):
    scores = leakage(*cells)
    assert list(by_pair(scores).index) == [("rna", "atac"), ("rna", "shared"), ("atac", "rna"), ("atac", "shared")]
    assert (scores["p_value"] > 0.05).all()
    assert (scores["score"] < 0.02).all()
    assert (scores["reference"] > 0.3).all()


def test_a_private_block_that_copies_the_shared_one_is_found(cells):
    shared, private, measured = cells
    scores = by_pair(leakage(shared, {**private, "atac": np.hstack([private["atac"], 0.01 * shared])}, measured))
    assert (scores.loc["atac", "p_value"] == 1 / 101).all()
    assert scores.loc[("atac", "shared"), "score"] > 0.99
    assert scores.loc[("atac", "rna"), "score"] == pytest.approx(scores.loc[("atac", "rna"), "reference"], abs=0.02)
    assert (scores.loc["rna", "p_value"] > 0.05).all()


def test_a_leak_of_one_of_three_shared_dimensions_is_a_third_of_the_shared_variance(cells):
    shared, _, measured = cells
    scores = by_pair(leakage(shared, {"rna": shared[:, :1]}, measured))
    share = shared[:, 0].var() / shared.var(axis=0).sum()
    assert scores.loc[("rna", "shared"), "score"] == pytest.approx(share, abs=0.02)


def test_a_nonlinear_leak_is_found_by_the_nonlinear_model_alone(cells):
    quarter = np.abs(np.random.default_rng(1).normal(size=(75, 2)))
    private = np.vstack([quarter * [x, y] for x in (-1, 1) for y in (-1, 1)])
    shared = private.prod(axis=1, keepdims=True)
    options = {"n_permutations": 19, "n_components": 2}
    linear, nonlinear = (
        leakage(shared, {"rna": private}, {"rna": private}, model=model, **options) for model in ("linear", "nonlinear")
    )
    assert linear["p_value"].item() > 0.05
    assert nonlinear["p_value"].item() == 0.05
    assert nonlinear["score"].item() > 0.3


def test_scores_are_those_of_scikit_learn_where_the_target_is_the_shared_block(cells):
    shared, _, measured = cells
    block = measured["rna"][:, :4]
    regression = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 5, 20)))
    folds = KFold(5, shuffle=True, random_state=0)
    predicted = cross_val_predict(regression, block, shared, cv=folds)
    scores = by_pair(leakage(shared, {"rna": block}, measured, n_permutations=2))
    expected = metrics.r2_score(shared, predicted, multioutput="variance_weighted")
    assert scores.loc[("rna", "shared"), "score"] == pytest.approx(expected, abs=0.01)
    predicted = cross_val_predict(regression, PCA(12).fit_transform(measured["rna"]), shared, cv=folds)
    expected = metrics.r2_score(shared, predicted, multioutput="variance_weighted")
    assert scores.loc[("rna", "shared"), "reference"] == pytest.approx(expected, abs=0.01)


def test_all_components_together_score_as_the_features(cells):
    shared, _, measured = cells
    few = {name: matrix[:, :5] for name, matrix in measured.items()}
    scores = by_pair(leakage(shared, {"rna": shared[:, :2]}, few, n_permutations=2))
    regression = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 5, 20)))
    folds = KFold(5, shuffle=True, random_state=0)
    predicted = cross_val_predict(regression, shared[:, :2], few["atac"], cv=folds)
    expected = metrics.r2_score(few["atac"], predicted, multioutput="variance_weighted")
    assert scores.loc[("rna", "atac"), "score"] == pytest.approx(expected, abs=0.01)


def test_sparse_measurements_and_images_score_as_dense_ones(cells):
    shared, private, measured = cells
    expected = leakage(shared, private, measured, n_permutations=2, n_components=4)
    to_sparse = {"rna": sparse.csc_matrix(measured["rna"]), "atac": sparse.csr_array(measured["atac"])}
    to_images = {name: matrix.reshape(N_CELLS, 1, 3, 4) for name, matrix in measured.items()}
    for same in (to_sparse, to_images):
        found = leakage(shared, private, same, n_permutations=2, n_components=4)
        np.testing.assert_allclose(found["score"], expected["score"], atol=1e-6)
        np.testing.assert_allclose(found["reference"], expected["reference"], atol=1e-6)


def test_cells_that_lack_something_are_left_out_of_that_comparison_only(cells):
    shared, private, measured = cells
    shared[:10] = np.nan
    private["rna"][10:30] = np.nan
    measured["atac"][-40:] = np.nan
    scores = by_pair(leakage(shared, private, measured, n_permutations=2))
    assert scores["n_cells"].to_dict() == {
        ("rna", "atac"): N_CELLS - 70,
        ("rna", "shared"): N_CELLS - 30,
        ("atac", "rna"): N_CELLS - 10,
        ("atac", "shared"): N_CELLS - 50,
    }


def test_what_all_cells_of_a_group_share_is_not_taken_for_a_leak(cells):
    """Batches shift the private block and the other modality; within batches there is nothing."""
    shared, private, measured = cells
    batch = np.repeat(np.arange(10), N_CELLS // 10)
    shift = np.random.default_rng(2).normal(size=(10, 1))[batch]
    blocks, seen = {"rna": private["rna"] + shift}, {"atac": measured["atac"] + 3 * shift}
    naive = by_pair(leakage(shared, blocks, seen)).loc[("rna", "atac")]
    within = by_pair(leakage(shared, blocks, seen, groups=batch)).loc[("rna", "atac")]
    assert naive["p_value"] == 1 / 101
    assert within["p_value"] > 0.05


def test_without_its_own_measurement_a_block_has_no_reference_for_the_shared_block(cells):
    shared, private, measured = cells
    scores = by_pair(leakage(shared, {"rna": private["rna"]}, {"atac": measured["atac"]}, n_permutations=2))
    assert np.isnan(scores.loc[("rna", "shared"), "reference"])
    assert np.isfinite(scores.loc[("rna", "atac"), "reference"])


def test_leakage_says_what_does_not_fit(cells):
    shared, private, measured = cells
    with pytest.raises(ValueError, match="'private rna': 299"):
        leakage(shared, {"rna": private["rna"][1:]}, measured)
    with pytest.raises(ValueError, match="modality called 'shared'"):
        leakage(shared, {"shared": shared}, measured)
    with pytest.raises(ValueError, match="no private block"):
        leakage(shared, {}, measured)
    with pytest.raises(ValueError, match="0 cells that have the shared block, the private block of 'rna' and 'atac'"):
        leakage(np.nan * shared, private, measured)
    with pytest.raises(ValueError, match="model='mlp'"):
        leakage(shared, private, measured, model="mlp")
