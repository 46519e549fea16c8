"""Scaling, statistics and scores of images in closed form."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from anndata import AnnData
from tests.contracts.pictures import NETWORKS, as_type, image_data

from cellprism.data import ImageRows
from cellprism.modalities import Architecture, Augmentation, Covariates, Images
from cellprism.modalities import _image_coder as module
from cellprism.modalities._image_coder import ImageCoder
from cellprism.nn import GaussianPixels, flip_and_turn, structural_similarity

STILL = Augmentation(flips=False, right_angles=False)
N_CELLS = 12


def prepared(adata: AnnData, **settings) -> tuple[ImageCoder, ImageRows]:
    """Networks with the statistics of all cells, and the cells."""
    images = Images(**({"networks": NETWORKS, "augmentation": STILL, "reconstruction_weight": 1.0} | settings))
    images = images.completed(adata, "adata")
    rows = images.read(adata, "adata", None)
    torch.manual_seed(0)
    coder = images.coder(images.shape(adata), {"full": 5, "shared": 3}, 2, Architecture(8, dropout_rate=0.0))
    coder.fit_statistics(rows)
    return coder.eval(), rows


def camera_data() -> AnnData:
    """Intensities as a camera counts them, as floating-point numbers far above 1."""
    adata = image_data(N_CELLS, dtype="float64")
    adata.obsm["image"] = 100 + 4000 * adata.obsm["image"]
    return adata


def encoded(coder: ImageCoder, rows: ImageRows) -> torch.Tensor:
    return coder.encode(rows, torch.eye(2)[torch.arange(len(rows)) % 2])


def decoded(coder: ImageCoder, rows: ImageRows, identity: torch.Tensor | None = None) -> GaussianPixels:
    latent = torch.randn(len(rows), 5, generator=torch.Generator().manual_seed(1))
    batches = torch.eye(2)[torch.arange(len(rows)) % 2]
    return coder.decode("full", latent, Covariates(batches, coder.depth(rows), identity))


def predicting(coder: ImageCoder, mean: torch.Tensor) -> GaussianPixels:
    """A likelihood with this mean."""
    deviation = (mean - coder.location) / coder.unit
    return GaussianPixels(deviation, coder.log_scale, coder.location, coder.unit)


def test_percentiles_of_each_channel_become_0_and_1():
    adata = camera_data()
    coder, rows = prepared(adata, scale="percentile", percentiles=(2.0, 95.0))
    low, high = np.percentile(adata.obsm["image"], (2, 95), axis=(0, 2, 3))[..., None, None]
    expected = ((adata.obsm["image"] - low) / (high - low)).clip(0, 1)
    np.testing.assert_allclose(coder.fractions(rows).numpy(), expected, atol=1e-5)


def test_percentiles_are_those_of_measured_channels():
    adata = camera_data()
    coder, _ = prepared(adata, scale="percentile", measured="measured")
    for channel, known in enumerate(adata.obsm["measured"].T):
        expected = np.percentile(adata.obsm["image"][known, channel], (0.1, 99.9))
        np.testing.assert_allclose([coder.low[channel].item(), coder.high[channel].item()], expected, rtol=1e-5)


def test_each_channel_of_each_cell_spans_0_to_1():
    adata = camera_data()
    coder, rows = prepared(adata, scale="cell")
    images = adata.obsm["image"]
    low, high = images.min((2, 3), keepdims=True), images.max((2, 3), keepdims=True)
    np.testing.assert_allclose(coder.fractions(rows).numpy(), (images - low) / (high - low), atol=1e-4)


@pytest.mark.parametrize("scale", ["dtype", "percentile", "cell"])
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_the_same_picture_in_another_type_is_encoded_and_scored_alike(scale, dtype):
    adata = image_data(N_CELLS)
    coder, rows = prepared(adata, scale=scale)
    other = adata.copy()
    other.obsm["image"] = as_type(adata.obsm["image"] / 255, dtype)
    others = coder.images.read(other, "adata", None)
    torch.testing.assert_close(encoded(coder, others), encoded(coder, rows), rtol=1e-4, atol=1e-4)
    scores = [coder.log_likelihood(decoded(coder, rows), x) for x in (others, rows)]
    torch.testing.assert_close(*scores, rtol=1e-4, atol=1e-2)


def test_the_mean_image_of_each_stain_and_the_spread_around_it_are_kept(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 5)
    adata = image_data(N_CELLS)
    coder, _ = prepared(adata, identity="stain")
    images, stain = adata.obsm["image"] / 255, (adata.obs["stain"] == "CD8").to_numpy().astype(int)
    expected = np.stack([images[stain == code].mean(0) for code in (0, 1)])
    np.testing.assert_allclose(coder.location.numpy(), expected, atol=1e-6)
    spread = np.sqrt(np.square(images - expected[stain]).mean((0, 2, 3)))
    np.testing.assert_allclose(coder.unit.flatten().numpy(), spread, rtol=1e-4)


def test_statistics_are_those_of_measured_channels():
    adata = image_data(N_CELLS)
    coder, rows = prepared(adata, measured="measured")
    coder.fit_statistics(replace(rows, stored=rows.stored.where(rows.measured[:, :, None, None], 200)))
    for channel, known in enumerate(adata.obsm["measured"].T):
        images = adata.obsm["image"][known, channel] / 255
        np.testing.assert_allclose(coder.location[0, channel].numpy(), images.mean(0), atol=1e-6)
        spread = np.sqrt(np.square(images - images.mean(0)).mean())
        np.testing.assert_allclose(coder.unit[channel].item(), spread, rtol=1e-4)


def test_a_stain_never_seen_in_a_channel_has_the_mean_image_of_the_others():
    adata = image_data(N_CELLS)
    is_cd8 = (adata.obs["stain"] == "CD8").to_numpy()
    adata.obsm["measured"] = np.stack([np.ones(N_CELLS, bool), is_cd8], axis=1)
    coder, _ = prepared(adata, identity="stain", measured="measured", identities=("CD4", "CD8", "CD19"))
    images = adata.obsm["image"] / 255
    of_cd4, of_cd8, of_cd19 = coder.location.numpy()
    np.testing.assert_allclose(of_cd4[1], images[is_cd8, 1].mean(0), atol=1e-6)
    np.testing.assert_allclose(of_cd8[1], images[is_cd8, 1].mean(0), atol=1e-6)
    np.testing.assert_allclose(of_cd4[0], images[~is_cd8, 0].mean(0), atol=1e-6)
    np.testing.assert_allclose(of_cd19[0], images[:, 0].mean(0), atol=1e-6)


@pytest.mark.parametrize("size", [(16, 16), (17, 20)])
def test_the_mean_image_is_that_of_all_positions_that_training_shows(size):
    adata = image_data(N_CELLS, size=size)
    augmentation = Augmentation(share=1.0)
    coder, rows = prepared(adata, augmentation=augmentation)
    codes = augmentation.codes(is_square=size[0] == size[1])
    turned = torch.cat([flip_and_turn(rows.fractions(), torch.full((N_CELLS,), code)) for code in codes])
    torch.testing.assert_close(coder.location, turned.mean(0, keepdim=True), rtol=1e-4, atol=1e-5)
    spread = (turned - coder.location).square().mean((0, 2, 3)).sqrt()
    torch.testing.assert_close(coder.unit.flatten(), spread, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_a_decoder_that_says_nothing_predicts_the_mean_image(likelihood):
    coder, rows = prepared(image_data(N_CELLS), likelihood=likelihood)
    for parameter in coder.decoders["full"].parameters():
        torch.nn.init.zeros_(parameter)
    torch.testing.assert_close(decoded(coder, rows).mean, coder.location.expand(N_CELLS, -1, -1, -1))


@pytest.mark.parametrize("weight", [0.0, 1.0, 5.0])
def test_a_pixel_of_the_foreground_counts_as_stated(weight):
    adata = image_data(N_CELLS)
    coder, rows = prepared(adata, mask="mask", foreground_weight=weight)
    likelihood = decoded(coder, rows)
    weights = np.where(adata.obsm["mask"], weight, 1.0)[:, None]
    expected = (likelihood.log_probs(coder.fractions(rows)).detach().numpy() * weights).sum((1, 2, 3))
    np.testing.assert_allclose(coder.log_likelihood(likelihood, rows).detach().numpy(), expected, rtol=1e-4)


def test_the_reconstruction_weight_multiplies_the_score():
    scores = []
    for weight in (1.0, 3.0):
        coder, rows = prepared(image_data(N_CELLS), reconstruction_weight=weight, structural_similarity=0.5)
        scores.append(coder.log_likelihood(decoded(coder, rows), rows))
    torch.testing.assert_close(scores[1], 3 * scores[0])


def test_pixels_of_channels_that_were_not_measured_are_never_looked_at():
    adata = image_data(N_CELLS, dtype="float32")
    measured = adata.obsm["measured"]
    coder, rows = prepared(adata, measured="measured", structural_similarity=0.5)
    adata.obsm["image"][~measured] = np.nan
    with_nan = coder.images.read(adata, "adata", None)
    assert torch.equal(encoded(coder, with_nan), encoded(coder, rows))
    with_noise = replace(rows, stored=torch.where(rows.measured[:, :, None, None], rows.stored, 0.7))
    likelihood = decoded(coder, rows)
    for other in (with_nan, with_noise):
        torch.testing.assert_close(encoded(coder, other), encoded(coder, rows))
        torch.testing.assert_close(coder.log_likelihood(likelihood, other), coder.log_likelihood(likelihood, rows))


def test_an_encoder_knows_which_channels_were_measured():
    coder, rows = prepared(image_data(N_CELLS), measured="measured")
    blank = replace(rows, stored=torch.zeros_like(rows.stored))
    differs = (encoded(coder, replace(blank, measured=~rows.measured)) - encoded(coder, blank)).abs().amax(1)
    assert (differs > 0).all()


def test_what_is_predicted_follows_the_stain_asked_for():
    coder, rows = prepared(image_data(N_CELLS), identity="stain")
    assert torch.equal(coder.identity(rows), torch.arange(N_CELLS) % 2)
    first, second = (decoded(coder, rows, torch.full((N_CELLS,), code)) for code in (0, 1))
    assert not torch.allclose(first.location, second.location)
    assert not torch.allclose(first.deviation, second.deviation)
    other = replace(rows, identity=1 - rows.identity)
    assert not torch.allclose(encoded(coder, other), encoded(coder, rows))


def test_it_must_be_said_what_to_predict():
    coder, rows = prepared(image_data(N_CELLS), identity="stain")
    with pytest.raises(ValueError, match=r"It is not said what to predict; pass identity=\.\.\., one of CD4, CD8"):
        decoded(coder, rows)


def test_similarity_is_charged_per_value_and_is_free_for_a_perfect_image():
    adata = image_data(N_CELLS)
    (coder, rows), (plain, _) = prepared(adata, structural_similarity=0.5), prepared(adata)
    target = coder.fractions(rows)
    blurred = torch.nn.functional.avg_pool2d(target, 5, stride=1, padding=2, count_include_pad=False)
    charges = []
    for mean in (target, blurred):
        likelihood = predicting(coder, mean)
        charges.append(plain.log_likelihood(likelihood, rows) - coder.log_likelihood(likelihood, rows))
    expected = 0.5 * (1 - structural_similarity(blurred, target).mean((1, 2, 3))) * coder.n_features
    torch.testing.assert_close(charges[0], torch.zeros(N_CELLS), rtol=0, atol=0.05)
    torch.testing.assert_close(charges[1], expected, rtol=1e-3, atol=0.05)
    assert (charges[1] > 10).all()
