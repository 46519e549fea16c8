import anndata
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData
from scipy import sparse
from scipy.stats import ttest_ind
from sklearn.decomposition import PCA

from cellprism.tl._rank_features_along import rank_features_along
from cellprism.tl._rank_features_along_df import rank_features_along_df

KEY = "rank_features_along"
N_CELLS = 800
RISING, FALLING, SECOND = ["g0", "g1", "g2"], ["g3", "g4"], ["g5", "g6"]


def make_cells(seed=0):
    """Genes that rise, that fall, that follow a second component, and noise, along a latent of width 4."""
    random = np.random.default_rng(seed)
    latent = random.normal(size=(N_CELLS, 4)) * [3, 2, 0.5, 0.1]
    slopes = np.zeros((4, 60))
    slopes[0, :3], slopes[0, 3:5], slopes[1, 5:7] = 0.3, -0.3, 0.4
    values = np.log1p(random.poisson(3 * np.exp(latent @ slopes))).astype(np.float32)
    names = pd.Index([f"g{j}" for j in range(60)])
    cells = pd.Index([f"cell{i:03d}" for i in random.permutation(N_CELLS)])
    obs, var = pd.DataFrame(index=cells), pd.DataFrame(index=names)
    return AnnData(values, obs=obs, var=var, obsm={"X_shared": latent})


@pytest.fixture
def adata():
    return make_cells()


def carried(adata, component, agreement=1.0, **options):
    table = rank_features_along_df(adata, component, min_agreement=agreement, **options)
    return set(table["names"])


def group_of(adata, component, end):
    """Rows of the compared cells of a bin, and of the middle, from the places that were written."""
    places = adata.obsm[KEY][f"component {component}"].to_numpy()
    low, high = np.nanquantile(places, [0.25, 0.75])
    is_end = places <= low if end == "low" else places >= high
    return is_end, (places > low) & (places < high)


def test_planted_features_are_carried_by_their_component_in_every_split_and_noise_by_none(adata):
    rank_features_along(adata, "X_shared", n_components=2)
    assert carried(adata, 0) == {*RISING, *FALLING}
    assert carried(adata, 1) == set(SECOND)
    assert carried(adata, None, agreement=0.2) == {*RISING, *FALLING, *SECOND}


def test_a_feature_of_another_component_is_kept_out_by_comparing_cells_near_the_axis():
    random = np.random.default_rng(0)
    first = random.normal(size=2000)
    second = 0.5 * (np.abs(first) + 0.1) * random.choice([-1, 1], size=2000)
    values = np.log1p(random.poisson(3 * np.exp(np.abs(second))))[:, None]
    adata = AnnData(values, obsm={"X_shared": np.stack([3 * first, second, random.normal(size=2000)], axis=1)})
    scores = []
    for near in (1.0, 0.5):
        rank_features_along(adata, "X_shared", n_components=1, near=near)
        scores.append(np.abs(adata.uns[KEY]["scores"]["component 0 high"][0]))
    assert scores[1] < scores[0] / 2


def test_signs_tell_which_end_is_higher_than_the_middle(adata):
    rank_features_along(adata, "X_shared", n_components=1)
    table = rank_features_along_df(adata).set_index(["end", "names"])
    upwards = np.sign(adata.uns[KEY]["components"][0, 0])
    for end, direction in (("high", upwards), ("low", -upwards)):
        for names, sign in ((RISING, direction), (FALLING, -direction)):
            assert (np.sign(table.loc[end].loc[names, ["scores", "logfoldchanges"]]) == sign).all(axis=None)


@pytest.mark.parametrize("end", ["low", "high"])
def test_tests_are_welchs_as_scipy_does_them(adata, end):
    rank_features_along(adata, "X_shared", n_components=2)
    is_end, is_middle = group_of(adata, 1, end)
    assert (is_end.sum(), is_middle.sum()) == (100, 200)
    expected = ttest_ind(adata.X[is_end].astype(float), adata.X[is_middle].astype(float), equal_var=False)
    table = rank_features_along_df(adata, 1).query("end == @end").set_index("names").loc[adata.var_names]
    np.testing.assert_allclose(table["scores"], expected.statistic, rtol=1e-9)
    np.testing.assert_allclose(table["pvals"], expected.pvalue, rtol=1e-9)


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # of pandas 3, in scanpy
def test_all_but_the_agreement_is_what_scanpy_gives_for_the_same_groups(adata):
    rank_features_along(adata, "X_shared", n_components=1)
    is_end, is_middle = group_of(adata, 0, "high")
    adata.obs["bin"] = pd.Categorical(np.select([is_end, is_middle], ["high", "middle"], "other"))
    compared = adata[is_end | is_middle].copy()
    sc.tl.rank_genes_groups(compared, "bin", groups=["high"], reference="middle", method="t-test", use_raw=False)
    expected = sc.get.rank_genes_groups_df(compared, "high").set_index("names")
    found = sc.get.rank_genes_groups_df(adata, "component 0 high", key=KEY).set_index("names").loc[expected.index]
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-4)


def test_the_axes_are_those_of_scikit_learn(adata):
    rank_features_along(adata, "X_shared", n_components=2)
    pca = PCA(2, svd_solver="full").fit(adata.obsm["X_shared"])
    result = adata.uns[KEY]
    np.testing.assert_allclose(result["components"], pca.components_, atol=1e-10)
    np.testing.assert_allclose(result["center"], pca.mean_, atol=1e-12)
    np.testing.assert_allclose(result["variance_ratio"], pca.explained_variance_ratio_)
    places = pca.transform(adata.obsm["X_shared"]) / np.sqrt(pca.explained_variance_)
    written = adata.obsm[KEY].to_numpy()
    is_compared = np.isfinite(written)
    np.testing.assert_array_equal(is_compared.sum(axis=0), [N_CELLS // 2] * 2)
    np.testing.assert_allclose(written[is_compared], places[is_compared])


def test_features_are_sorted_by_agreement_then_by_the_size_of_the_score(adata):
    rank_features_along(adata, "X_shared", n_components=1)
    for _, table in rank_features_along_df(adata).groupby("end"):
        order = sorted(zip(-table["agreement"], -table["scores"].abs(), strict=True))
        assert list(zip(-table["agreement"], -table["scores"].abs(), strict=True)) == order


def test_the_order_of_cells_does_not_matter(adata):
    shuffled = adata[np.random.default_rng(1).permutation(N_CELLS)].copy()
    for cells in (adata, shuffled):
        rank_features_along(cells, "X_shared", n_components=2, min_effect=0.5)
    pd.testing.assert_frame_equal(rank_features_along_df(adata), rank_features_along_df(shuffled))
    pd.testing.assert_frame_equal(adata.obsm[KEY], shuffled.obsm[KEY].loc[adata.obs_names])


def test_without_anything_to_find_nothing_is_carried_though_some_features_pass_in_all_cells_together():
    tables = []
    for seed in range(40):
        random = np.random.default_rng(seed)
        values = np.log1p(random.poisson(3, size=(400, 300)))
        adata = AnnData(values, obsm={"X_shared": random.normal(size=(400, 5))})
        rank_features_along(adata, "X_shared", min_effect=0)
        tables.append(rank_features_along_df(adata))
    assert sum((table["pvals_adj"] < 0.05).sum() for table in tables) >= 5
    assert max(table["agreement"].max() for table in tables) <= 0.4
    assert sum((table["agreement"] > 0).any() for table in tables) <= 4


def test_a_feature_that_is_significant_in_some_cells_only_does_not_hold_up():
    """A chance difference among many features is found in most splits, but seldom again in the cells left out."""
    random = np.random.default_rng(3)
    adata = AnnData(random.normal(size=(400, 1)), obsm={"X_shared": random.normal(size=(400, 2)) * [3, 1]})
    rank_features_along(adata, "X_shared", n_components=1, near=1, scale="linear")
    is_end, is_middle = group_of(adata, 0, "high")
    chance = random.normal(size=400)
    chance[is_end] += 0.3 - chance[is_end].mean() + chance[is_middle].mean()
    adata.X = chance[:, None]
    rank_features_along(adata, "X_shared", n_components=1, near=1, scale="linear", n_splits=20)
    result = adata.uns[KEY]
    assert result["pvals"]["component 0 high"][0] < 0.05
    assert result["agreement"]["component 0 high"][0] < 0.5


def test_sparse_values_and_layers_give_what_dense_ones_give(adata):
    rank_features_along(adata, "X_shared", n_components=1)
    adata.layers["logs"] = sparse.csc_matrix(adata.X)
    rank_features_along(adata, "X_shared", n_components=1, layer="logs", key_added="of_layer")
    pd.testing.assert_frame_equal(rank_features_along_df(adata), rank_features_along_df(adata, key="of_layer"))


def test_an_array_is_followed_as_the_slot_is_and_cells_without_a_latent_are_left_out(adata):
    kept = np.arange(N_CELLS) % 4 != 0
    some = adata[kept].copy()
    latent = np.where(kept[:, None], adata.obsm["X_shared"], np.nan)
    rank_features_along(adata, latent, n_components=1)
    rank_features_along(some, "X_shared", n_components=1)
    pd.testing.assert_frame_equal(rank_features_along_df(adata), rank_features_along_df(some))
    assert "block" not in adata.uns[KEY]["params"]


def test_measured_features_are_compared_in_standard_deviations_whatever_their_units(adata):
    random = np.random.default_rng(0)
    scores = adata.obsm["X_shared"][:, 0]
    frame = pd.DataFrame(
        {"area": 900 + 100 * scores, "skewness": random.normal(size=N_CELLS), "channels": 2.0},
        index=adata.obs_names,
    )
    frame.iloc[:50, :2] = np.nan
    adata.obsm["image_features"] = frame
    rank_features_along(adata, "X_shared", n_components=1, obsm="image_features")
    table = rank_features_along_df(adata, 0).query("end == 'high'").set_index("names")
    is_end, is_middle = group_of(adata, 0, "high")
    area = frame["area"].to_numpy()
    end, middle = area[is_end & np.isfinite(area)], area[is_middle & np.isfinite(area)]
    d = (end.mean() - middle.mean()) / np.sqrt((end.var(ddof=1) + middle.var(ddof=1)) / 2)
    assert table.loc["area", "logfoldchanges"] == pytest.approx(d)
    assert table.loc["area", "pvals"] == pytest.approx(ttest_ind(end, middle, equal_var=False).pvalue)
    assert table["agreement"].to_dict() == {"area": 1.0, "skewness": 0.0, "channels": 0.0}
    assert list(table.loc["channels", ["scores", "logfoldchanges", "pvals"]]) == [0, 0, 1]


def test_the_result_survives_a_file(adata, tmp_path):
    rank_features_along(adata, "X_shared", n_components=2)
    adata.write_h5ad(tmp_path / "ranked.h5ad")
    read = anndata.read_h5ad(tmp_path / "ranked.h5ad")
    pd.testing.assert_frame_equal(rank_features_along_df(read), rank_features_along_df(adata))
    by_scanpy = (sc.get.rank_genes_groups_df(cells, None, key=KEY) for cells in (adata, read))
    pd.testing.assert_frame_equal(*by_scanpy)
    pd.testing.assert_frame_equal(read.obsm[KEY], adata.obsm[KEY])
    assert read.uns[KEY]["params"] == adata.uns[KEY]["params"]
    np.testing.assert_array_equal(read.uns[KEY]["components"], adata.uns[KEY]["components"])


def test_values_that_look_like_counts_are_told(adata):
    adata.X = np.expm1(adata.X).round()
    with pytest.warns(UserWarning, match=r".X looks like raw counts \(whole numbers up to \d+\).*tl.log_normalize"):
        rank_features_along(adata, "X_shared", n_components=1)


@pytest.mark.parametrize(
    ("block", "options", "error", "message"),
    [
        ("X_rna", {}, KeyError, r"'X_rna' was not found in .obsm, which has \['X_shared'.*model.write"),
        (np.zeros((3, 2)), {}, ValueError, rf"shape \(3, 2\) in the block, expected \({N_CELLS}, width\)"),
        (np.full((N_CELLS, 2), np.nan), {}, ValueError, "0 cells with finite values in the block"),
        ("X_shared", {"n_components": 5}, ValueError, "in which 4 components vary, expected at least the 5"),
        ("X_shared", {"layer": "logs"}, KeyError, "'logs' was not found in .layers"),
        ("X_shared", {"obsm": "features"}, KeyError, "'features' was not found in .obsm"),
        ("X_shared", {"obsm": "X_shared"}, ValueError, "ndarray in .obsm.*expected a DataFrame"),
        ("X_shared", {"obsm": "texts"}, ValueError, r"columns \['name'\] of .obsm\['texts'\] that hold no numbers"),
        ("X_shared", {"obsm": "texts", "layer": "logs"}, ValueError, "expected one of them"),
        ("X_shared", {"scale": "counts"}, ValueError, "scale='counts', expected one of"),
        ("X_shared", {"near": 0.0}, ValueError, "near=0.0, expected a share above 0, at most 1"),
        ("X_shared", {"ends": 0.5}, ValueError, "ends=0.5, expected a share above 0, below 0.5"),
        ("X_shared", {"test_size": 1.0}, ValueError, "test_size=1.0, expected a share between 0 and 1"),
        ("X_shared", {"n_splits": 0}, ValueError, "n_splits=0"),
        ("X_shared", {"min_effect": -1.0}, ValueError, "min_effect=-1.0"),
        ("X_shared", {"near": 0.02}, ValueError, r"Found 16 cells to compare.*'low': 4.*Raise near or ends"),
    ],
)
def test_what_does_not_fit_is_said_and_nothing_written(adata, block, options, error, message):
    adata.obsm["texts"] = pd.DataFrame({"name": "a", "area": 1.0}, index=adata.obs_names)
    with pytest.raises(error, match=message):
        rank_features_along(adata, block, **options)
    assert KEY not in adata.uns
    assert KEY not in adata.obsm


def test_negative_values_are_not_logarithms_of_one_plus_x(adata):
    adata.X = adata.X - 1
    with pytest.raises(ValueError, match=r".X has negative values \(min -1\).*scale='linear'"):
        rank_features_along(adata, "X_shared")


def test_the_table_says_what_it_does_not_find(adata):
    with pytest.raises(KeyError, match=r"Run tl\.rank_features_along first"):
        rank_features_along_df(adata)
    rank_features_along(adata, "X_shared", n_components=2)
    with pytest.raises(ValueError, match=r"component=2, expected one of \[0, 1\], counted from 0"):
        rank_features_along_df(adata, 2)
