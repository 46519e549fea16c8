import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, read_h5ad
from mudata import MuData
from scipy import stats
from skimage.draw import ellipse
from skimage.feature import graycomatrix, graycoprops
from skimage.measure import regionprops

from cellprism.pp import image_features
from cellprism.pp._texture import grey_levels


@pytest.fixture
def mask():
    mask = np.zeros((48, 48), dtype=bool)
    mask[ellipse(24, 22, 12, 17, rotation=0.6)] = True
    return mask


@pytest.fixture
def image(mask):
    random = np.random.default_rng(0)
    return (100 * random.gamma(2.0, size=(1, 2, 48, 48))).astype(np.uint16)


@pytest.fixture
def features(image, mask):
    return image_features(image, masks=mask[None]).iloc[0]


def test_shape_is_that_of_region_properties(features, mask):
    region = regionprops(mask.astype(int))[0]
    for name in ("area", "perimeter", "eccentricity", "solidity", "axis_major_length", "axis_minor_length"):
        assert features[name] == pytest.approx(region[name]), name


def test_intensities_are_those_of_numpy_and_scipy(features, image, mask):
    for channel in range(2):
        pixels = image[0, channel][mask].astype(float)
        references = {
            "mean": pixels.mean(),
            "sd": pixels.std(),
            "sum": pixels.sum(),
            "skewness": stats.skew(pixels),
            "kurtosis": stats.kurtosis(pixels),
            "min": pixels.min(),
            "max": pixels.max(),
            "p25": np.quantile(pixels, 0.25),
            "p95": np.quantile(pixels, 0.95),
        }
        for name, value in references.items():
            assert features[f"intensity_{name}_channel_{channel}"] == pytest.approx(value), name


def test_correlation_of_channels_is_pearson_s_over_the_foreground(features, image, mask):
    expected = stats.pearsonr(image[0, 0][mask], image[0, 1][mask]).statistic
    assert features["correlation_channel_0_channel_1"] == pytest.approx(expected)


def test_a_channel_correlates_with_a_line_through_itself(image, mask):
    doubled = np.stack([image[:, 0], 5000.0 - 2.0 * image[:, 0]], axis=1)
    features = image_features(doubled, masks=mask[None], groups=["correlation"])
    assert features.loc[0, "correlation_channel_0_channel_1"] == pytest.approx(-1)


def test_texture_of_a_full_mask_is_that_of_the_co_occurrence_of_the_whole_image(image):
    mask = np.ones((48, 48), dtype=bool)
    features = image_features(image, masks=mask[None], groups=["texture"]).iloc[0]
    angles = np.arange(4) * np.pi / 4
    levels = grey_levels(image[0, 0].astype(float), mask) - 1
    pairs = graycomatrix(levels, [1], angles, levels=32, symmetric=True, normed=True)
    for name in ("contrast", "homogeneity", "energy", "correlation", "entropy"):
        assert features[f"texture_{name}_channel_0"] == pytest.approx(graycoprops(pairs, name).mean()), name


def test_texture_of_two_stripes_is_counted_by_hand():
    image = np.array([[[[0.0, 1.0], [0.0, 1.0]]]])
    features = image_features(image, masks=np.ones((1, 2, 2)), groups=["texture"]).iloc[0]
    # Three of four directions step from level 0 to level 31, the one along the stripes stays.
    assert features["texture_contrast_channel_0"] == pytest.approx(0.75 * 31**2)


def test_texture_does_not_see_pixels_outside_the_mask(image, mask, features):
    changed = np.where(mask, image, 60000).astype(np.uint16)
    again = image_features(changed, masks=mask[None]).iloc[0]
    pd.testing.assert_series_equal(again, features)


def test_texture_does_not_see_gain_and_offset(image, mask):
    first, second = (
        image_features(pixels, masks=mask[None], groups=["texture"]) for pixels in (image, 0.5 * image + 32)
    )
    pd.testing.assert_frame_equal(first, second)


def spots(mask, centres, height=50.0, sigma=1.5):
    rows, columns = np.mgrid[:48, :48]
    image = 200.0 * mask
    for row, column in centres:
        image += height * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * sigma**2))
    return image


CENTRES = [(24, 12), (24, 22), (24, 32), (16, 24), (32, 18)]


@pytest.mark.parametrize("n_spots", [0, 1, 3, 5])
def test_spots_are_counted(mask, n_spots):
    noise = np.random.default_rng(5).normal(0, 3, size=mask.shape)
    image = spots(mask, CENTRES[:n_spots]) + noise
    features = image_features(image[None, None], masks=mask[None], groups=["foci"]).iloc[0]
    assert features["foci_count_channel_0"] == n_spots


def test_the_strength_of_a_spot_is_its_height(mask):
    image = spots(mask, [(24, 22)], height=37.0)
    features = image_features(image[None, None], masks=mask[None], groups=["foci"]).iloc[0]
    assert features["foci_strength_channel_0"] == pytest.approx(37.0, rel=0.02)


def test_a_flat_cell_has_no_spots_no_texture_and_no_moments(mask):
    flat = np.stack([np.where(mask, 7.3, 0), np.where(mask, 7.3, 0)])[None]
    features = image_features(flat, masks=mask[None]).iloc[0]
    assert features.notna().all()
    for name in ("foci_count", "foci_strength", "texture_contrast", "texture_entropy", "intensity_skewness"):
        assert features[f"{name}_channel_0"] == 0, name
    assert features["correlation_channel_0_channel_1"] == 0


def test_features_do_not_change_when_the_cell_is_turned(image, mask, features):
    turned = image_features(np.rot90(image, axes=(2, 3)), masks=np.rot90(mask)[None]).iloc[0]
    names = features.index.drop("orientation")
    np.testing.assert_allclose(turned[names], features[names], rtol=1e-9)


def test_features_of_a_cell_do_not_depend_on_the_others(image, mask):
    images = np.concatenate([image[:, ::-1], image])
    together = image_features(images, masks=np.stack([mask, mask]))
    alone = image_features(image, masks=mask[None])
    np.testing.assert_array_equal(together.iloc[1], alone.iloc[0])


def test_features_of_an_anndata_are_written_and_survive_a_file(image, mask, features, tmp_path):
    adata = AnnData(obs=pd.DataFrame(index=["a"]))
    adata.obsm["image"], adata.obsm["mask"] = image, mask[None, None]
    adata.uns["channels"] = np.array(["DNA", "actin"])
    assert image_features(adata) is None
    adata.write_h5ad(tmp_path / "cells.h5ad")
    table = read_h5ad(tmp_path / "cells.h5ad").obsm["image_features"]
    np.testing.assert_array_equal(table.loc["a"], features)
    assert {"area", "intensity_mean_DNA", "foci_count_actin", "correlation_DNA_actin"} <= set(table.columns)


def test_only_the_groups_asked_for_are_measured(image, mask):
    table = image_features(image, masks=mask[None], groups=["shape", "correlation"])
    assert list(table.columns[-2:]) == ["orientation", "correlation_channel_0_channel_1"]
    assert table.shape == (1, 8)


def test_a_cell_without_foreground_is_told_and_has_no_features(image, mask):
    masks = np.stack([mask, np.zeros_like(mask)])
    with pytest.warns(UserWarning, match="1 of 2 cells have no foreground, the first in row 1"):
        table = image_features(np.concatenate([image, image]), masks=masks)
    assert table.loc[1].isna().all()
    assert table.loc[0].notna().all()


def test_unknown_groups_are_told(image):
    with pytest.raises(ValueError, match=r"groups has \['form'\], expected some of \['shape'"):
        image_features(image, groups=["form"])


def test_channel_names_that_do_not_fit_are_told(image):
    adata = AnnData(shape=(1, 0))
    adata.obsm["image"], adata.uns["channels"] = image, ["DNA"]
    with pytest.raises(ValueError, match=r"\.uns\['channels'\] is \['DNA'\], expected one name for each of 2"):
        image_features(adata)


@pytest.mark.filterwarnings("ignore::FutureWarning:mudata")
def test_a_mudata_is_refused_with_its_modalities(image, unchecked_types):
    adata = AnnData(shape=(1, 0))
    adata.obsm["image"] = image
    with pytest.raises(TypeError, match=r"MuData of \['nucleus'\], expected one modality"):
        image_features(MuData({"nucleus": adata}))


def test_features_of_real_nuclei_follow_the_cell_cycle(shared_data):
    import mudata

    path = shared_data / "jurkat_ifc_images.h5mu"
    if not path.exists():
        pytest.skip(f"no {path.name} among the real data sets")
    nuclei = mudata.read_h5mu(path)["nucleus"][::6].copy()
    image_features(nuclei, groups=["shape", "intensity"])
    medians = nuclei.obsm["image_features"].groupby(nuclei.obs["phase"].astype(str)).median()
    ratio = medians.loc["G2", "intensity_sum_DNA"] / medians.loc["G1", "intensity_sum_DNA"]
    assert ratio == pytest.approx(2, abs=0.3)
    assert medians.loc["G1", "area"] < medians.loc["S", "area"] < medians.loc["G2", "area"]
