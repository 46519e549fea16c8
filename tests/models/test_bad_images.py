"""Each bad image gives an error that says what was found, what was expected, what to do, and where."""

import numpy as np
import pandas as pd
import pytest
from mudata import MuData
from tests.contracts.pictures import NETWORKS, simulate_images, spots
from tests.contracts.simulated import as_adata, factors

from cellprism import CrossModalVAE
from cellprism.modalities import Features, Images, StridedConvolutions

N_CELLS = 20
PATH = r"mdata\['image'\]\.obsm\['image'\]"


def holding(images, **obsm) -> MuData:
    """Cells with these images."""
    mdata = simulate_images(N_CELLS)
    mdata["image"].obsm["image"] = images
    for key, value in obsm.items():
        mdata["image"].obsm[key] = value
    return mdata


def assert_refused(error: type[Exception], message: str, mdata: MuData, **settings) -> None:
    with pytest.raises(error, match=message):
        CrossModalVAE.setup_mudata(mdata, {"image": Images(**({"networks": NETWORKS} | settings))})


def trained(mdata: MuData, **settings) -> CrossModalVAE:
    CrossModalVAE.setup_mudata(mdata, {"rna": Features(), "image": Images(networks=NETWORKS, **settings)})
    model = CrossModalVAE(mdata, n_shared=3, n_private=2, n_hidden=8, seed=0)
    model.train(max_epochs=1, enable_progress_bar=False, accelerator="cpu")
    return model


def test_images_in_x():
    flat = spots(factors(N_CELLS)).reshape(N_CELLS, -1).astype(np.float32)
    mdata = MuData({"image": as_adata(flat, [f"c{i}" for i in range(N_CELLS)], "pixel")})
    message = rf"{PATH} does not exist. There is: nothing. Images belong in .obsm as an array .*, not in .X"
    assert_refused(KeyError, message, mdata)


def test_another_key_offers_the_closest():
    assert_refused(KeyError, r"obsm\['images'\] does not exist. Did you mean 'image'", simulate_images(), key="images")


@pytest.mark.parametrize(
    ("shape", "lacking", "fix"),
    [
        ((340,), "channels, height and width are missing", "Reshape it"),
        ((64, 64), "the channel is missing", r"add the axis: array\[:, None\]"),
        ((40, 64), "the channel is missing", r"add the axis: array\[:, None\]"),
        ((3, 64), "an axis is missing", r"add the axis: array\[:, None\]"),
        ((17, 20), "an axis is missing", r"add the axis: array\[:, None\]"),
    ],
)
def test_axes_that_are_missing(shape, lacking, fix):
    images = np.zeros((N_CELLS, *shape), np.uint8)
    expected = rf"{PATH} has shape \(20, .*\); expected \(cells, channels, height, width\): {lacking}. .*{fix}"
    assert_refused(ValueError, expected, holding(images))


def test_an_axis_too_many():
    assert_refused(ValueError, f"{PATH} has 5 axes; expected 4", holding(np.zeros((N_CELLS, 1, 2, 20, 20), np.uint8)))


@pytest.mark.parametrize("shape", [(20, 20, 3), (17, 24, 1), (64, 64, 20), (300, 300, 3), (31, 200, 16)])
def test_channels_last(shape):
    message = rf"{PATH} has shape .* looks like channels last; .* Move the axis: np.moveaxis\(array, -1, 1\)"
    assert_refused(ValueError, message, holding(np.zeros((N_CELLS, *shape), np.uint8)))


def nameless(images: np.ndarray) -> MuData:
    mdata = holding(images)
    del mdata["image"].uns["channels"]
    return mdata


def nameless_setup(images: np.ndarray) -> MuData:
    mdata = nameless(images)
    CrossModalVAE.setup_mudata(mdata, {"image": Images(networks=StridedConvolutions((2,)))})
    return mdata


@pytest.mark.parametrize("shape", [(20, 64, 16), (30, 16, 16), (17, 256, 16)])
def test_many_channels_of_narrow_images_are_not_mistaken_for_channels_last(shape):
    images = np.random.default_rng(0).integers(0, 9, (N_CELLS, *shape), dtype=np.uint8)
    model = CrossModalVAE(nameless_setup(images), n_hidden=4, n_shared=2)
    assert model.registration.modalities["image"].channels == tuple(f"channel {i}" for i in range(shape[0]))


def test_too_many_channels():
    message = rf"{PATH} has 31 channels \(shape .*\); expected 1 to 30"
    assert_refused(ValueError, message, holding(np.zeros((N_CELLS, 31, 40, 40), np.uint8)))


@pytest.mark.parametrize("size", [(15, 20), (20, 15), (20, 257), (300, 20), (8, 8)])
def test_images_that_are_too_small_or_too_large(size):
    message = rf"{PATH} has images of {size[0]} x {size[1]} pixels; expected sides of 16 to 256. Crop, pad or rescale"
    assert_refused(ValueError, message, holding(np.zeros((N_CELLS, 2, *size), np.uint8)))


@pytest.mark.parametrize("dtype", ["int64", "int16", "bool", "uint32", "complex64"])
def test_types_that_say_no_range(dtype):
    images = spots(factors(N_CELLS)).astype(dtype)
    message = f"{PATH} has dtype {dtype}; expected uint8, uint16 or floating point. Convert it"
    assert_refused(ValueError, message, holding(images))


@pytest.mark.parametrize("factor", [4000.0, -1.0])
def test_floating_point_images_outside_0_to_1(factor):
    images = spots(factors(N_CELLS), dtype="float32") * np.float32(factor)
    found = rf"{images.min():.3g} to {images.max():.3g}".replace("+", r"\+")
    message = rf"{PATH} has intensities from {found}; .* in \[0, 1\]. Use Images\(scale='percentile'\) or scale='cell'"
    assert_refused(ValueError, message, holding(images))
    for scale in ("percentile", "cell"):
        CrossModalVAE.setup_mudata(holding(images), {"image": Images(networks=NETWORKS, scale=scale)})


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("scale", ["dtype", "percentile"])
def test_pixels_that_are_not_finite(bad, scale):
    images = spots(factors(N_CELLS), dtype="float32")
    images[3, 1, 2, 2] = images[3, 1, 5, 5] = images[4, 0, 0, 0] = bad
    message = rf"{PATH} has NaN or infinite values in 2 images; .* say so by a mask: Images\(measured=...\)"
    assert_refused(ValueError, message, holding(images), scale=scale)


def test_a_channel_that_is_constant():
    images = spots(factors(N_CELLS))
    images[:, 1] = 7
    message = f"Channel 'actin' of {PATH} is 7 in every pixel of every cell; expected images that vary. Leave it out"
    assert_refused(ValueError, message, holding(images))
    CrossModalVAE.setup_mudata(holding(images), {"image": Images(networks=NETWORKS, channels=("DAPI",))})


def test_a_channel_that_was_measured_in_no_cell():
    measured = np.tile([True, False], (N_CELLS, 1))
    message = f"Channel 'actin' of {PATH} was measured in no cell; .* Leave it out"
    assert_refused(ValueError, message, holding(spots(factors(N_CELLS)), measured=measured), measured="measured")


def test_new_cells_may_be_blank_or_unmeasured_in_a_channel():
    mdata = simulate_images(N_CELLS)
    mdata["image"].obsm["measured"] = np.ones((N_CELLS, 2), bool)
    model = trained(mdata, measured="measured")
    new = simulate_images(N_CELLS)
    new["image"].obsm["image"][:, 1] = 0
    new["image"].obsm["measured"] = np.ones((N_CELLS, 2), bool)
    assert np.isfinite(model.get_latent_representation(new)).all()
    new["image"].obsm["measured"] = np.tile([True, False], (N_CELLS, 1))
    assert np.isfinite(model.get_latent_representation(new)).all()


def test_new_data_may_have_no_cell_with_images():
    model = trained(simulate_images(N_CELLS))
    new = MuData({"rna": simulate_images(N_CELLS)["rna"], "image": simulate_images(N_CELLS)["image"][:0].copy()})
    assert model.impute("image", new).obsm["image"].shape == (N_CELLS, 2, 17, 20)


def test_no_cells_to_learn_from():
    mdata = MuData({"image": simulate_images(N_CELLS)["image"][:0].copy()})
    assert_refused(ValueError, rf"{PATH} has no cells \(shape \(0, 2, 17, 20\)\). Drop this modality or fill it", mdata)


def test_a_channel_that_is_unknown():
    message = f"{PATH} has no channel 'aktin'. Did you mean 'actin'"
    assert_refused(KeyError, message, simulate_images(N_CELLS), channels=("DAPI", "aktin"))


@pytest.mark.parametrize("names", [["DAPI"], ["DAPI", "DAPI"], ["a", "b", "c"]])
def test_names_that_are_not_one_for_each_channel(names):
    mdata = simulate_images(N_CELLS)
    mdata["image"].uns["channels"] = names
    message = r"mdata\['image'\]\.uns\['channels'\] names the channels .* has 2. Give one distinct name for each"
    assert_refused(ValueError, message, mdata)


@pytest.mark.parametrize("shape", [(17, 21), (2, 17, 20), (1, 20, 17)])
def test_a_mask_of_another_shape(shape):
    mdata = holding(spots(factors(N_CELLS)), mask=np.zeros((N_CELLS, *shape), bool))
    message = r"obsm\['mask'\] has shape \(20, .*\); expected \(20, 1, 17, 20\), as the images have"
    assert_refused(ValueError, message, mdata, mask="mask")


def test_a_mask_or_a_table_of_measured_channels_that_is_missing():
    for name in ("mask", "measured"):
        message = r"mdata\['image'\]\.obsm\['imag'\] does not exist. Did you mean 'image'"
        assert_refused(KeyError, message, simulate_images(N_CELLS), **{name: "imag"})


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.ones((N_CELLS, 3), bool), r"has shape \(20, 3\); expected cells x channels, \(20, 2\)"),
        (np.full((N_CELLS, 2), np.nan), "has values other than True and False, such as NaN; say of each channel"),
        (np.full((N_CELLS, 2), "yes"), "has values other than True and False"),
    ],
)
def test_a_table_of_measured_channels_that_is_none(table, message):
    mdata = holding(spots(factors(N_CELLS)), measured=table)
    assert_refused(ValueError, rf"mdata\['image'\]\.obsm\['measured'\] {message}", mdata, measured="measured")


def test_a_table_of_measured_channels_that_lacks_one():
    mdata = simulate_images(N_CELLS)
    mdata["image"].obsm["measured"] = pd.DataFrame({"DAPI": True}, index=mdata["image"].obs_names)
    message = r"obsm\['measured'\] has no column 'actin'; expected one for each channel"
    assert_refused(ValueError, message, mdata, measured="measured")


def test_what_is_no_array():
    mdata = simulate_images(N_CELLS)
    flat = np.asarray(mdata["image"].obsm["image"]).reshape(N_CELLS, -1)
    mdata["image"].obsm["image"] = pd.DataFrame(
        flat, index=mdata["image"].obs_names, columns=map(str, range(flat.shape[1]))
    )
    message = rf"{PATH} is a DataFrame; expected a numpy array. Load it first: adata.obsm\['image'\] = np.asarray"
    assert_refused(TypeError, message, mdata)


def test_images_too_small_for_the_networks():
    message = r"Images of 17 x 20 pixels are too small .* with 5 halvings; expected sides of at least 32. Give fewer"
    assert_refused(ValueError, message, simulate_images(N_CELLS), networks=StridedConvolutions())


def test_a_stain_that_is_missing():
    mdata = simulate_images(N_CELLS)
    assert_refused(KeyError, r"obs\['stains'\] does not exist. Did you mean 'stain'", mdata, identity="stains")
    mdata["image"].obs.iloc[:3, mdata["image"].obs.columns.get_loc("stain")] = np.nan
    message = r"mdata\['image'\]\.obs\['stain'\] has no value for 3 cells; name each"
    assert_refused(ValueError, message, mdata, identity="stain")


def test_a_stain_that_was_not_named():
    message = r"obs\['stain'\] has identities that the model has not seen: 'CD8'. .* It knows 'CD4', 'CD19'"
    assert_refused(ValueError, message, simulate_images(N_CELLS), identity="stain", identities=("CD4", "CD19"))


@pytest.fixture(scope="module")
def stained() -> CrossModalVAE:
    return trained(simulate_images(N_CELLS), identity="stain")


def test_a_stain_to_predict_that_the_model_does_not_know(stained):
    with pytest.raises(ValueError, match=r"identity is 'CD9', which this modality does not know\. Did you mean 'CD8'"):
        stained.translate("rna", "image", identity="CD9")
    with pytest.raises(ValueError, match=r"identity is 'CD8', which .* Identities are for Images\(identity=...\)"):
        stained.translate("image", "rna", identity="CD8")


def test_it_must_be_said_what_to_predict_for_cells_without_images(stained):
    new = MuData({"rna": simulate_images(N_CELLS)["rna"]})
    with pytest.raises(ValueError, match=r"It is not said what to predict; pass identity=.*, one of CD4, CD8"):
        stained.translate("rna", "image", new)


def changed_size(mdata: MuData) -> None:
    mdata["image"].obsm["image"] = mdata["image"].obsm["image"][:, :, :, :18].copy()


def changed_stain(mdata: MuData) -> None:
    mdata["image"].obs["stain"] = "CD88"


def changed_channels(mdata: MuData) -> None:
    mdata["image"].uns["channels"] = ["DAPI", "actins"]


def lost_images(mdata: MuData) -> None:
    mdata["image"].obsm["pictures"] = mdata["image"].obsm.pop("image")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (changed_size, ValueError, rf"{PATH} has images of 17 x 18 pixels; the model was trained on 17 x 20. Crop"),
        (changed_stain, ValueError, r"has not seen: 'CD88'. Did you mean 'CD8'\? It knows 'CD4', 'CD8'"),
        (changed_channels, KeyError, f"{PATH} has no channel 'actin'. Did you mean 'actins'"),
        (lost_images, KeyError, f"{PATH} does not exist"),
    ],
)
def test_new_data_that_the_model_does_not_fit(stained, tmp_path, change, error, message):
    other = simulate_images(N_CELLS)
    change(other)
    with pytest.raises(error, match=message):
        stained.get_latent_representation(other)
    stained.save(tmp_path / "model")
    with pytest.raises(error, match=message):
        CrossModalVAE.load(tmp_path / "model", other, accelerator="cpu")


def test_a_whole_model_leaves_arrays_that_are_not_contiguous_as_they_are():
    images = np.moveaxis(np.ascontiguousarray(np.moveaxis(spots(factors(N_CELLS)), 1, -1)), -1, 1)
    mdata = holding(images)
    kept = mdata["image"].obsm["image"]
    before, strides = kept.copy(), kept.strides
    model = trained(mdata)
    model.reconstruct("image")
    model.write()
    assert mdata["image"].obsm["image"] is kept
    assert kept.strides == strides
    assert not kept.flags.c_contiguous
    np.testing.assert_array_equal(kept, before)
