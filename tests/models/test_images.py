"""Models of cells with images: every verb, every slot, and recovery of what the images were made of."""

from typing import Any

import mudata
import numpy as np
import pytest
from mudata import MuData
from tests.contracts.pictures import MOSAIC, NETWORKS, SIZE, STAINS, UNPAIRED, simulate_images, spots
from tests.contracts.simulated import cell_names, factors

from cellprism import CrossModalVAE
from cellprism.modalities import Augmentation, Counts, Features, Images, ResidualConvolutions
from cellprism.module import LatentModule

QUIET: dict[str, Any] = {"enable_progress_bar": False, "accelerator": "cpu"}
KINDS = {"paired": None, "mosaic": MOSAIC, "unpaired": UNPAIRED}
STILL = Augmentation(flips=False, right_angles=False)
LEAST_R2 = 0.7
"""Share of the variance of held-out pixels that must be foretold."""


def trained(mdata: MuData, *, max_epochs: int = 1, batch_size: int = 128, n_private: int = 2, **settings):
    kinds = {"rna": Features(), "image": Images(**({"networks": NETWORKS} | settings))}
    CrossModalVAE.setup_mudata(mdata, kinds)
    model = CrossModalVAE(mdata, n_shared=3, n_private=n_private, n_hidden=8, seed=0)
    model.train(max_epochs=max_epochs, batch_size=batch_size, **QUIET)
    return model


@pytest.mark.parametrize("present", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_translated_images_are_fractions_of_every_source_cell_and_channel(present, likelihood):
    mdata = simulate_images(present=present)
    model = trained(mdata, likelihood=likelihood, channels=("actin", "DAPI"))
    for fill in ("shared", "mean", "sample", "donor"):
        predicted = model.translate("rna", "image", fill=fill)
        images = predicted.obsm["image"]
        assert images.shape == (mdata["rna"].n_obs, 2, *SIZE)
        assert images.min() >= 0
        assert images.max() <= 1
        assert set(predicted.obs_names) == set(mdata["rna"].obs_names)
        assert predicted.uns["channels"] == ["actin", "DAPI"]
    assert model.translate("image", "rna").shape == (mdata["image"].n_obs, 14)


def test_images_of_cells_that_lack_them_are_imputed():
    mdata = simulate_images(present=MOSAIC)
    model = trained(mdata)
    imputed, translated = model.impute("image"), model.translate("rna", "image")
    assert set(imputed.obs_names) == set(mdata["rna"].obs_names) - set(mdata["image"].obs_names)
    np.testing.assert_allclose(imputed.obsm["image"], translated[imputed.obs_names].obsm["image"], atol=1e-6)
    sampled = model.impute("image", n_samples=3)
    assert sampled.obsm["image_std"].shape == sampled.obsm["image"].shape
    assert (sampled.obsm["image_std"] > 0).any()


def test_a_translated_image_is_read_again_by_the_model():
    mdata = simulate_images(present=MOSAIC)
    model = trained(mdata)
    again = MuData({"image": model.translate("rna", "image")})
    assert np.isfinite(model.get_latent_representation(again)).all()


def test_counts_and_images_are_inferred_from_the_data():
    mdata = simulate_images()
    mdata["rna"].X = np.random.default_rng(0).poisson(3, mdata["rna"].shape).astype(np.float32)
    model = CrossModalVAE(mdata, n_hidden=8)
    assert model.registration.modalities == {"rna": Counts(), "image": Images(channels=("DAPI", "actin"))}


@pytest.fixture
def written() -> tuple[CrossModalVAE, MuData]:
    mdata = simulate_images(present=MOSAIC)
    model = trained(mdata)
    model.write()
    return model, mdata


def test_images_are_written_into_their_slots(written):
    model, mdata = written
    rna, image = mdata["rna"], mdata["image"]
    expected = model.reconstruct("image")[image.obs_names].obsm["image"]
    np.testing.assert_allclose(image.obsm["image_reconstructed"], expected, atol=1e-5)
    translated = model.translate("rna", "image")
    both = image.obs_names.isin(rna.obs_names)
    found = image.obsm["image_translated_from_rna"]
    np.testing.assert_allclose(found[both], translated[image.obs_names[both]].obsm["image"], atol=1e-5)
    assert np.isnan(found[~both]).all()
    lacking = ~rna.obs_names.isin(image.obs_names)
    found = rna.obsm["image_translated"]
    np.testing.assert_allclose(found[lacking], translated[rna.obs_names[lacking]].obsm["image"], atol=1e-5)
    assert np.isnan(found[~lacking]).all()


def test_nothing_else_is_written_beside_images(written):
    _, mdata = written
    latents = {"X_shared", "X_private"}
    slots = {"image", "image_reconstructed", "image_translated_from_rna"}
    assert set(mdata["image"].obsm) == slots | latents | {"rna_translated"}
    assert set(mdata["image"].uns) == {"channels"}
    assert set(mdata["rna"].obsm) == {"image_translated"} | latents


def test_written_images_survive_a_file_and_may_then_be_written_again(written, tmp_path):
    model, mdata = written
    mdata.write_h5mu(tmp_path / "out.h5mu")
    again = mudata.read_h5mu(tmp_path / "out.h5mu")
    for name in mdata.mod:
        for key in mdata[name].obsm:
            np.testing.assert_array_equal(again[name].obsm[key], mdata[name].obsm[key])
    model.write(again)
    found, expected = (m["rna"].obsm["image_translated"] for m in (again, mdata))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_slots_that_were_written_are_not_mistaken_for_images(written, tmp_path):
    _, mdata = written
    mdata.write_h5mu(tmp_path / "out.h5mu")
    for data in (mdata.copy(), mudata.read_h5mu(tmp_path / "out.h5mu")):
        kinds = CrossModalVAE(data, n_hidden=8).registration.modalities
        assert kinds == {"rna": Features(), "image": Images(channels=("DAPI", "actin"))}


def test_a_foreign_array_in_a_slot_of_images_is_not_overwritten():
    mdata = simulate_images(present=MOSAIC)
    model = trained(mdata)
    mdata["rna"].obsm["image_translated"] = np.zeros((30, 2))
    with pytest.raises(ValueError, match=r"mdata\['rna'\]\.obsm/image_translated\..*overwrite=True"):
        model.write()
    assert "image_reconstructed" not in mdata["image"].obsm


def test_every_stain_is_written_for_cells_without_images_and_their_own_for_cells_with_them():
    mdata = simulate_images(present=MOSAIC)
    model = trained(mdata, identity="stain")
    model.write()
    rna, image = mdata["rna"], mdata["image"]
    assert {key for key in rna.obsm if "image" in key} == {f"image_translated_{stain}" for stain in STAINS}
    lacking = ~rna.obs_names.isin(image.obs_names)
    both = image.obs_names.isin(rna.obs_names)
    for stain in STAINS:
        translated = model.translate("rna", "image", identity=stain)
        found = rna.obsm[f"image_translated_{stain}"][lacking]
        np.testing.assert_allclose(found, translated[rna.obs_names[lacking]].obsm["image"], atol=1e-5)
        own = both & (image.obs["stain"] == stain).to_numpy()
        found = image.obsm["image_translated_from_rna"][own]
        np.testing.assert_allclose(found, translated[image.obs_names[own]].obsm["image"], atol=1e-5)


def test_any_stain_is_predicted_for_any_cell():
    mdata = simulate_images(present=MOSAIC)
    is_cd8 = (mdata["image"].obs["stain"] == "CD8").to_numpy()
    mdata["image"].obsm["image"][is_cd8, 0] //= 4
    model = trained(mdata, identity="stain")
    for predict in (
        lambda stain: model.translate("rna", "image", identity=stain),
        lambda stain: model.reconstruct("image", identity=stain),
        lambda stain: model.impute("image", identity=stain),
    ):
        bright, dark = (predict(stain).obsm["image"][:, 0].mean((1, 2)) for stain in STAINS)
        assert (dark < 0.6 * bright).all()
    own, of_cd8 = model.reconstruct("image"), model.reconstruct("image", identity="CD8")
    stained = own.obs["stain"] == "CD8"
    np.testing.assert_allclose(own[stained].obsm["image"], of_cd8[stained].obsm["image"], atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 13])
def test_a_batch_may_hold_one_cell(batch_size):
    mdata = simulate_images(14, present={"rna": range(10), "image": range(4, 14)})
    CrossModalVAE.setup_mudata(mdata, {"rna": Features(), "image": Images(networks=NETWORKS)})
    model = CrossModalVAE(mdata, n_shared=3, n_private=2, n_hidden=8, seed=0)
    model.train(max_epochs=1, batch_size=batch_size, train_indices=range(14), validation_size=0.0, **QUIET)
    for size in (1, 13, 512):
        latents = model.get_latent_representation(batch_size=size)
        np.testing.assert_allclose(latents, model.get_latent_representation(), rtol=1e-3, atol=1e-4)


def test_images_alone_make_a_model():
    adata = simulate_images(20)["image"].copy()
    CrossModalVAE.setup_mudata(adata, {"image": Images(networks=NETWORKS)})
    model = CrossModalVAE(adata, n_shared=3, n_private=0, n_hidden=8, seed=0)
    model.train(max_epochs=1, **QUIET)
    model.write()
    assert adata.obsm["image_reconstructed"].shape == (20, 2, *SIZE)
    assert np.isfinite(adata.obsm["X_shared"]).all()


def test_training_changes_images_and_use_does_not(monkeypatch):
    calls, augment = [], LatentModule.augment
    monkeypatch.setattr(LatentModule, "augment", lambda self, batch: calls.append(1) or augment(self, batch))
    model = trained(simulate_images(), max_epochs=2)
    assert len(calls) == 2
    first, second = (model.reconstruct("image").obsm["image"] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert len(calls) == 2


def test_the_mean_image_and_the_scale_are_those_of_training_cells():
    mdata = simulate_images()
    kinds = {"rna": Features(), "image": Images(networks=NETWORKS, augmentation=STILL)}
    CrossModalVAE.setup_mudata(mdata, kinds)
    model = CrossModalVAE(mdata, n_shared=3, n_hidden=8, seed=0)
    learnt = np.arange(0, 40, 2)
    model.train(max_epochs=1, train_indices=learnt, **QUIET)
    names = mdata.obs_names[learnt]
    expected = mdata["image"][names].obsm["image"].mean(0) / 255
    np.testing.assert_allclose(model.module.coders["image"].location[0].numpy(), expected, atol=1e-5)


SMALL = {"n_shared": 6, "n_private": 2, "n_hidden": 32, "seed": 0, "input_dropout_rate": 0.0}


def foretold(
    n_cells: int, max_epochs: int, augmentation: Augmentation, **settings
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images of held-out cells, what is translated from their features, and the mean image of the others."""
    mdata = simulate_images(n_cells, noise=0.1, size=(16, 16), n_channels=1, **settings)
    truth = dict(zip(cell_names(n_cells), spots(factors(n_cells), size=(16, 16), n_channels=1) / 255, strict=True))
    truth = np.stack([truth[name] for name in mdata.obs_names])
    images = Images(networks=ResidualConvolutions(n_filters=4, n_blocks=0), augmentation=augmentation)
    CrossModalVAE.setup_mudata(mdata, {"rna": Features(), "image": images})
    is_held_out = np.random.default_rng(0).random(mdata.n_obs) < 0.25
    model = CrossModalVAE(mdata, **SMALL)
    learnt = np.flatnonzero(~is_held_out)
    model.train(max_epochs=max_epochs, train_indices=learnt, batch_size=64, learning_rate=1e-2, **QUIET)
    asked = np.flatnonzero(is_held_out & mdata.obs_names.isin(mdata["rna"].obs_names))
    return truth[asked], model.translate("rna", "image", indices=asked).obsm["image"], truth[learnt].mean(0)


@pytest.mark.parametrize(
    ("n_cells", "present"),
    [(320, None), (360, {"rna": range(270), "image": range(90, 360)})],
    ids=["paired", "mosaic"],
)
def test_images_of_held_out_cells_are_foretold_from_features_that_share_their_factors(n_cells, present):
    observed, predicted, mean = foretold(n_cells, 30, STILL, present=present)
    assert 1 - np.square(observed - predicted).sum() / np.square(observed - mean).sum() > LEAST_R2


def test_brightness_is_foretold_though_training_turns_the_images():
    observed, predicted, _ = foretold(320, 30, Augmentation())
    brightness = [images.mean((1, 2, 3)) for images in (observed, predicted)]
    assert np.corrcoef(*brightness)[0, 1] > 0.8
