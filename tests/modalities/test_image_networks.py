from dataclasses import dataclass

import numpy as np
import pytest
import torch
from mudata import MuData
from tests.contracts.pictures import SIZE, simulate_images
from torch import nn

from cellprism import CrossModalVAE
from cellprism.modalities import Features, Images, ResidualConvolutions, StridedConvolutions
from cellprism.nn import ConvDecoder, ConvEncoder


@dataclass(frozen=True)
class FlatEncoder(ResidualConvolutions):
    """An encoder of one's own; the decoder is the usual one."""

    n_between: int = 6

    def encoder(self, shape: tuple[int, int, int], n_outputs: int) -> nn.Module:
        n_values = int(np.prod(shape))
        return nn.Sequential(
            nn.Flatten(), nn.Linear(n_values, self.n_between), nn.ReLU(), nn.Linear(self.n_between, n_outputs)
        )


@dataclass(frozen=True)
class ShortEncoder(ResidualConvolutions):
    def encoder(self, shape: tuple[int, int, int], n_outputs: int) -> nn.Module:
        return ConvEncoder(shape, (4, 4), 0, 3)


@dataclass(frozen=True)
class WideDecoder(ResidualConvolutions):
    def decoder(self, n_inputs: int, shape: tuple[int, int, int]) -> nn.Module:
        return ConvDecoder(n_inputs, (4, 4), 0, (shape[0], shape[1], shape[2] + 1))


def model_with(mdata: MuData, networks: ResidualConvolutions | StridedConvolutions) -> CrossModalVAE:
    CrossModalVAE.setup_mudata(mdata, {"rna": Features(), "image": Images(networks=networks)})
    model = CrossModalVAE(mdata, n_shared=3, n_private=2, n_hidden=8, seed=0)
    model.train(max_epochs=1, enable_progress_bar=False, accelerator="cpu")
    return model


@pytest.mark.parametrize(
    "networks",
    [FlatEncoder(n_filters=4, n_between=5), StridedConvolutions((4, 8)), ResidualConvolutions(4, 8, 0)],
    ids=lambda networks: type(networks).__name__,
)
def test_a_saved_model_builds_its_networks_again_and_gives_identical_latents(networks, tmp_path):
    mdata = simulate_images(30)
    model = model_with(mdata, networks)
    model.save(tmp_path / "model")
    loaded = CrossModalVAE.load(tmp_path / "model", mdata, accelerator="cpu")
    assert loaded.registration.modalities["image"].networks == networks
    for modality in (None, "image"):
        expected = model.get_latent_representation(modality=modality)
        np.testing.assert_array_equal(loaded.get_latent_representation(modality=modality), expected)
    expected = model.translate("rna", "image").obsm["image"]
    np.testing.assert_array_equal(loaded.translate("rna", "image").obsm["image"], expected)


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        (ShortEncoder(), r"ShortEncoder.encoder turned \(2, 2, 17, 20\) into \(2, 3\); expected \(2, 128\)"),
        (WideDecoder(), r"WideDecoder.decoder turned \(2, 128\) into \(2, 2, 17, 21\); expected \(2, 2, 17, 20\)"),
    ],
)
def test_networks_that_give_another_shape_are_refused_at_setup(networks, message):
    with pytest.raises(ValueError, match=message):
        CrossModalVAE.setup_mudata(simulate_images(10), {"image": Images(networks=networks)})


@pytest.mark.parametrize(
    ("size", "widths"), [((16, 16), (4, 8)), (SIZE, (4, 8)), ((64, 64), (4, 8, 16, 16)), ((16, 256), (4, 8))]
)
def test_images_are_halved_until_the_smaller_side_has_at_most_7_pixels(size, widths):
    encoder = ResidualConvolutions(n_filters=4, max_filters=16).encoder((2, *size), 8)
    assert tuple(layer.out_channels for layer in encoder if isinstance(layer, nn.Conv2d)) == widths


@pytest.mark.parametrize("size", [(16, 16), (17, 33), (100, 40), (256, 256), (256, 16)])
def test_networks_take_any_size(size):
    images, features = torch.rand(1, 3, *size), torch.rand(1, 8)
    for networks in (ResidualConvolutions(n_filters=2, max_filters=4), StridedConvolutions((2, 4, 4))):
        assert networks.encoder((3, *size), 8)(images).shape == (1, 8)
        assert networks.decoder(8, (3, *size))(features).shape == images.shape


def test_networks_of_the_paper_take_its_size():
    networks = StridedConvolutions()
    networks.check((1, 64, 64), 16)
    convolutions = [layer for layer in networks.encoder((1, 64, 64), 16) if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [128, 256, 512, 1024, 1024]
