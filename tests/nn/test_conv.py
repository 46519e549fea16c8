from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from cellprism.nn import ConvDecoder, ConvEncoder, TransposedConv, halved
from cellprism.nn._conv import Enlarge, ResidualBlock, normalised, sizes_up_to

SIZES = [(16, 16), (17, 20), (31, 16), (16, 256), (64, 33), (255, 40)]
WIDTHS = (4, 8, 8)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("enlarge", [Enlarge, TransposedConv])
def test_an_image_of_any_size_becomes_features_and_comes_back_in_its_size(size, enlarge):
    shape = (3, *size)
    features = ConvEncoder(shape, WIDTHS, 1, 5)(torch.rand(2, *shape))
    assert features.shape == (2, 5)
    assert ConvDecoder(5, WIDTHS[::-1], 1, shape, enlarge)(features).shape == (2, *shape)


@pytest.mark.parametrize("size", SIZES)
def test_sides_are_rounded_down_on_the_way_in_and_up_on_the_way_out(size):
    convolution, maps = torch.nn.Conv2d(1, 1, 4, stride=2, padding=1), torch.zeros(1, 1, *size)
    for times in range(1, 4):
        maps = convolution(maps)
        assert halved(size, times) == tuple(maps.shape[2:])
    sizes = sizes_up_to(size, 3)
    assert sizes[-1] == size
    for small, large in pairwise(sizes):
        assert all(2 * before - after in (0, 1) for before, after in zip(small, large, strict=True))


@pytest.mark.parametrize("size", [(16, 16), (17, 20)])
def test_a_single_cell_in_training_is_treated_as_among_others(size):
    shape = (2, *size)
    images = torch.rand(5, *shape)
    encoder, decoder = ConvEncoder(shape, WIDTHS, 1, 5).train(), ConvDecoder(5, WIDTHS[::-1], 1, shape).train()
    torch.testing.assert_close(encoder(images[2:3]), encoder(images)[2:3], rtol=1e-4, atol=1e-5)
    features = torch.randn(5, 5)
    torch.testing.assert_close(decoder(features[2:3]), decoder(features)[2:3], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n_filters", [4, 8, 16])
def test_images_are_told_apart_though_halved_down_to_a_pixel(n_filters):
    encoder = ConvEncoder((1, 16, 16), (n_filters,) * 4, 0, 3).train()
    features = torch.cat([encoder(image) for image in torch.rand(2, 1, 1, 16, 16)])
    assert not torch.allclose(features[0], features[1])


@pytest.mark.parametrize("n_filters", [1, 2, 3, 4, 6, 8, 12, 16, 100, 1024])
def test_no_filter_is_alone_in_its_group(n_filters):
    norm = normalised(n_filters)[0]
    assert n_filters % norm.num_groups == 0
    assert n_filters == 1 or n_filters / norm.num_groups >= 2


def test_a_residual_block_changes_nothing_at_the_start():
    maps = torch.randn(2, 4, 5, 6)
    assert torch.equal(ResidualBlock(4)(maps), maps)


@pytest.mark.parametrize("size", [(8, 10), (7, 9)])
def test_enlarging_is_repeating_pixels_and_smoothing_in_values_and_gradients(size):
    layer, results = Enlarge(3, 2, size), []
    for enlarge in (layer, lambda maps: layer.smooth(F.interpolate(maps, scale_factor=2.0, mode="nearest"))):
        layer.zero_grad()
        maps = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(1)).requires_grad_()
        enlarged = enlarge(maps)[:, :, : size[0], : size[1]]
        (enlarged * torch.arange(float(enlarged.numel())).reshape(enlarged.shape)).sum().backward()
        results.append((enlarged.detach(), maps.grad, layer.smooth.weight.grad.clone(), layer.smooth.bias.grad.clone()))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_enlarging_a_constant_map_leaves_no_checkerboard():
    enlarged = Enlarge(3, 2, (16, 22))(torch.ones(1, 3, 8, 11))[:, :, 1:-1, 1:-1]
    torch.testing.assert_close(enlarged, enlarged[:, :, :1, :1].expand_as(enlarged))
    transposed = TransposedConv(3, 2, (16, 22))(torch.ones(1, 3, 8, 11))[:, :, 2:-2, 2:-2]
    assert float(transposed.std((2, 3)).min()) > 0.01


def test_every_pixel_reaches_the_features_and_every_feature_the_pixels():
    shape = (1, 17, 20)
    images = torch.rand(1, *shape, requires_grad=True)
    ConvEncoder(shape, WIDTHS, 1, 5)(images).sum().backward()
    features = torch.randn(1, 5, requires_grad=True)
    ConvDecoder(5, WIDTHS[::-1], 1, shape)(features).square().sum().backward()
    assert (features.grad != 0).all()
    # an odd last row is beyond the last window where sides are rounded down
    assert (images.grad[:, :, :16] != 0).all()
