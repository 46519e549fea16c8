import numpy as np
import pytest
from scipy import stats

from cellprism import datasets


def canonical_correlations(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Cosines of the principal angles between the columns' spaces, largest first."""
    bases = []
    for values in (x, y):
        left, spread, _ = np.linalg.svd(values - values.mean(0), full_matrices=False)
        bases.append(left[:, spread > 1e-4 * spread[0]])
    return np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)


def factors(mdata) -> dict[str, np.ndarray]:
    return {name: mdata.obsm["factors"][name].to_numpy() for name in mdata.obsm["factors"]}


def test_factors_have_the_moments_of_their_definition():
    z = factors(datasets.simulated(n_cells=200_000, n_per_block=1))
    assert z["Z1"].mean() == pytest.approx(0.5, abs=0.01)
    assert (z["Z2"] - z["Z1"]).mean() == pytest.approx(5 * np.sqrt(0.0045), rel=0.01)
    assert (z["Z4"] - 2 * z["Z2"] - z["Z3"]).mean() == pytest.approx(4 * np.sqrt(0.00125), rel=0.01)
    assert (z["Z5"] - z["Z2"]).var() == pytest.approx(12 * 0.0075, rel=0.05)


def test_independent_private_factors_do_not_follow_the_shared_ones():
    z = factors(datasets.simulated("fully_independent", n_cells=20_000, n_per_block=1))
    for private in ("Z3", "Z4", "Z5"):
        for shared in ("Z1", "Z2"):
            assert abs(np.corrcoef(z[private], z[shared])[0, 1]) < 0.03
    assert abs(np.corrcoef(z["Z4"], z["Z5"])[0, 1]) < 0.03


@pytest.mark.parametrize("scenario", ["base", "fully_independent", "independent_mixed", "entangled_pure"])
def test_without_noise_the_modalities_share_two_dimensions_exactly(scenario):
    mdata = datasets.simulated(scenario, seed=3)
    found = canonical_correlations(mdata["x"].X.astype(float), mdata["y"].X.astype(float))
    assert (found[:2] > 0.999).all()
    assert found[2] < 0.1


def test_noise_breaks_the_second_canonical_correlation():
    correlations = []
    for seed in range(3):
        mdata = datasets.simulated("base", noise=0.5, seed=seed)
        x, y = (mdata[name].X.astype(float) for name in ("x", "y"))
        half = slice(0, None, 2)
        left, right = (np.linalg.svd(v - v.mean(0), full_matrices=False)[0][:, :5] for v in (x, y))
        assert len(left[half]) == 1024
        correlations.append(np.linalg.svd(left.T @ right, compute_uv=False)[1])
    assert 0.1 < np.mean(correlations) < 0.7


def test_features_depend_on_their_parents_and_on_nothing_else():
    mdata = datasets.simulated("base")
    z = mdata["x"].obsm["factors"]
    for name, parents in mdata["x"].var["parents"].items():
        design = np.column_stack([z[parent] for parent in parents.split(",")])
        values = mdata["x"][:, name].X.ravel()
        residual = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
        assert np.abs(residual).max() < 1e-4, name


def test_pure_weights_are_four_times_those_of_the_base():
    base, strong = (datasets.simulated(name, seed=1) for name in ("base", "base_pure_weights"))
    is_pure = ~base["x"].var["parents"].str.contains(",")
    np.testing.assert_allclose(strong["x"].X[:, is_pure], 4 * base["x"].X[:, is_pure], rtol=1e-4)
    np.testing.assert_allclose(strong["x"].X[:, ~is_pure], base["x"].X[:, ~is_pure], rtol=1e-4)


def test_a_third_modality_shares_a_factor_with_one_of_the_others_alone():
    mdata = datasets.simulated("three_modalities")
    parents = {name: set(adata.var["parents"]) for name, adata in mdata.mod.items()}
    assert parents["x"] & parents["y"] == {"Z1", "Z2"}
    assert parents["x"] & parents["w"] == {"Z1", "Z2", "Z6"}
    assert parents["y"] & parents["w"] == {"Z1", "Z2"}


def test_counts_are_integers_of_varying_depth_and_peaks_zeros_and_ones():
    mdata = datasets.simulated(kinds={"x": "counts", "y": "peaks"}, n_per_block={"x": 20, "y": 5})
    counts, peaks = mdata["x"].X, mdata["y"].X
    assert mdata["x"].n_vars == 160
    assert mdata["y"].n_vars == 20
    assert (counts == np.rint(counts)).all()
    assert (counts >= 0).all()
    totals = counts.sum(1)
    assert 2 < np.quantile(totals, 0.95) / np.quantile(totals, 0.05) < 6
    assert set(np.unique(peaks)) == {0, 1}


def test_counts_still_tell_the_factors():
    mdata = datasets.simulated(kinds={"x": "counts", "y": "peaks"})
    shares = np.log1p(mdata["x"].X / mdata["x"].X.sum(1, keepdims=True) * 1e3)
    z2 = mdata["x"].obsm["factors"]["Z2"].to_numpy()
    design = np.column_stack([shares, np.ones(len(shares))])
    predicted = design @ np.linalg.lstsq(design, z2, rcond=None)[0]
    assert stats.pearsonr(predicted, z2)[0] > 0.8


def test_private_factors_can_dominate():
    weak, strong = (datasets.simulated("fully_independent", private_weight=w) for w in (1.0, 5.0))
    is_private = strong["x"].var["parents"].isin(["Z3", "Z4"]).to_numpy()
    np.testing.assert_allclose(strong["x"].X[:, is_private], 5 * weak["x"].X[:, is_private], rtol=1e-4)
    np.testing.assert_array_equal(strong["x"].X[:, ~is_private], weak["x"].X[:, ~is_private])


def test_mixing_that_is_not_linear_leaves_no_line():
    mdata = datasets.simulated("fully_independent", nonlinear=True)
    z4 = mdata["x"].obsm["factors"]["Z4"].to_numpy()
    assert abs(np.corrcoef(z4, mdata["x"].X[:, 0])[0, 1]) < 0.99


def test_cells_that_lack_a_modality_are_absent_from_it_and_keep_their_factors():
    mdata = datasets.simulated(n_cells=1000, observed={"x": 0.5, "y": 0.4})
    assert mdata.n_obs == 1000
    assert abs(mdata["y"].n_obs - 400) < 60
    for adata in mdata.mod.values():
        expected = mdata.obsm["factors"].loc[adata.obs_names]
        np.testing.assert_array_equal(adata.obsm["factors"], expected)
        design = adata.obsm["factors"][["Z2"]].to_numpy()
        column = adata[:, (adata.var["parents"] == "Z2").to_numpy()].X[:, 0]
        assert abs(abs(np.corrcoef(design.ravel(), column)[0, 1]) - 1) < 1e-4


def test_a_seed_fixes_everything():
    first, again, other = (datasets.simulated(noise=0.1, observed=0.8, seed=seed) for seed in (1, 1, 2))
    assert first["x"].obs_names.equals(again["x"].obs_names)
    np.testing.assert_array_equal(first["x"].X, again["x"].X)
    assert not first["x"].obs_names.equals(other["x"].obs_names)


@pytest.mark.parametrize(("settings", "message"), [
    ({"scenario": "bass"}, "scenario is 'bass'; expected one of 'base'"),
    ({"kinds": {"z": "counts"}}, r"kinds names \['z'\]; the modalities are \['x', 'y'\]"),
    ({"kinds": {"x": "count"}}, "expected 'features', 'counts' or 'peaks'"),
    ({"observed": 0.0}, "expected at least 2 cells"),
    ({"noise": -1.0}, "no negative noise"),
])  # fmt: skip
@pytest.mark.usefixtures("unchecked_types")
def test_what_makes_no_sense_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        datasets.simulated(**settings)
