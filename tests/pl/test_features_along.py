import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.colors import to_rgba
from scipy import sparse, stats

from cellprism.pl._features_along import features_along
from cellprism.tl._rank_features_along import rank_features_along

KEY = "rank_features_along"


def make_cells():
    random = np.random.default_rng(0)
    latent = random.normal(size=(600, 3)) * [3, 1.5, 0.5]
    slopes = np.zeros((3, 8))
    slopes[0, :2], slopes[1, 2] = [0.5, -0.25], 0.6
    adata = AnnData(np.log1p(random.poisson(3 * np.exp(latent @ slopes))).astype(float), obsm={"X_shared": latent})
    adata.var_names = [f"g{j}" for j in range(8)]
    return adata


@pytest.fixture
def adata():
    cells = make_cells()
    rank_features_along(cells, "X_shared", n_components=2)
    return cells


def points(panel):
    """Places, means and lower and upper ends of the intervals."""
    (bars,) = panel.containers
    line, _, (intervals,) = bars.lines
    low, high = np.array([segment[:, 1] for segment in intervals.get_segments()]).T
    return *line.get_xydata().T, low, high


def test_the_features_drawn_first_are_those_carried_and_their_titles_say_so(adata):
    panels = features_along(adata, n_features=3)
    titles = [panel.get_title() for panel in panels]
    assert titles[:2] == ["g0\n5/5 splits", "g1\n5/5 splits"]
    assert titles[2].endswith("\n0/5 splits")
    colours = [to_rgba(panel.containers[0].lines[0].get_color()) for panel in panels]
    assert colours[0] == colours[1] != colours[2]
    assert features_along(adata, 1, n_features=1)[0].get_title() == "g2\n5/5 splits"


def test_points_are_means_of_the_compared_cells_with_students_intervals(adata):
    (panel,) = features_along(adata, features=["g1"], n_bins=5)
    places = adata.obsm[KEY]["component 0"].dropna()
    ordered = places.sort_values()
    bins = np.array_split(adata[ordered.index, "g1"].X.ravel(), 5)
    found = points(panel)
    np.testing.assert_allclose(found[0], [part.mean() for part in np.array_split(ordered.to_numpy(), 5)])
    np.testing.assert_allclose(found[1], [part.mean() for part in bins])
    intervals = [stats.t.interval(0.95, len(part) - 1, part.mean(), stats.sem(part)) for part in bins]
    np.testing.assert_allclose(np.stack(found[2:], axis=1), intervals)


def test_the_ends_that_were_tested_are_shaded(adata):
    (panel,) = features_along(adata, features=["g0"])
    low, high = np.nanquantile(adata.obsm[KEY]["component 0"], [0.25, 0.75])
    first, second = panel.patches
    assert first.get_x() + first.get_width() == pytest.approx(low)
    assert second.get_x() == pytest.approx(high)


def test_values_are_read_from_where_they_were_ranked(adata):
    expected = points(features_along(adata, features=["g0"])[0])[1]
    adata.layers["logs"] = sparse.csr_matrix(adata.X)
    adata.obsm["features"] = adata.to_df()
    adata.X = np.zeros_like(adata.X)
    for slot in ({"layer": "logs"}, {"obsm": "features"}):
        rank_features_along(adata, "X_shared", n_components=1, key_added="again", **slot)
        (panel,) = features_along(adata, features=["g0"], key="again")
        np.testing.assert_allclose(points(panel)[1], expected)
    assert panel.get_ylabel() == "mean"


def test_cells_whose_feature_is_missing_are_left_out_of_its_means(adata):
    frame = pd.DataFrame({"area": adata.obsm["X_shared"][:, 0] * 10}, index=adata.obs_names)
    frame.iloc[::3] = np.nan
    adata.obsm["image_features"] = frame
    rank_features_along(adata, "X_shared", n_components=1, obsm="image_features")
    (panel,) = features_along(adata, n_bins=2)
    places = adata.obsm[KEY]["component 0"].dropna().sort_values()
    halves = [frame["area"].loc[part].mean() for part in np.array_split(places.index.to_numpy(), 2)]
    np.testing.assert_allclose(points(panel)[1], halves)


def test_features_along_draws_into_the_axes_it_is_given(adata, shown):
    _, axes = plt.subplots(1, 2)
    assert list(features_along(adata, n_features=2, ax=axes)) == list(axes)
    assert shown == []
    assert [panel.get_xlabel() for panel in axes] == ["X_shared, component 0 (sd)"] * 2
    with pytest.raises(ValueError, match="2 axes for 3 features"):
        features_along(adata, n_features=3, ax=axes)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"component": 2}, ValueError, "component=2, expected one of 0 to 1"),
        ({"key": "ranked"}, KeyError, r"'ranked' was not found in .uns and .obsm. Run tl.rank_features_along"),
        ({"features": ["g0", "g99"]}, ValueError, r"\['g99'\] are not among the 8 that were ranked"),
        ({"features": []}, ValueError, "at least one to draw"),
        ({"n_features": 0}, ValueError, "n_features=0"),
        ({"n_bins": 1}, ValueError, "n_bins=1 for 300 cells, expected 2 to 150"),
    ],
)
def test_features_along_says_what_does_not_fit(adata, options, error, message):
    with pytest.raises(error, match=message):
        features_along(adata, **options)


def test_a_layer_that_is_gone_is_named(adata):
    adata.layers["logs"] = adata.X.copy()
    rank_features_along(adata, "X_shared", n_components=1, layer="logs")
    del adata.layers["logs"]
    with pytest.raises(KeyError, match=r"'logs', which was ranked, was not found in \.layers"):
        features_along(adata)
