"""Convolutional networks from images to features and back, for images of any size and shape."""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

Size = tuple[int, int]
Maps = Float[Tensor, "rows filters height width"]
EnlargedMaps = Float[Tensor, "rows filters_after height_after width_after"]


def halved(size: Size, times: int) -> Size:
    """Size of an image that is halved again and again, odd sides rounded down, as strided convolutions do."""
    return size[0] // 2**times, size[1] // 2**times


def sizes_up_to(size: Size, times: int) -> list[Size]:
    """Sizes from which an image is enlarged, each at least half of the next, up to the full one."""
    return [(-(-size[0] // 2**level), -(-size[1] // 2**level)) for level in range(times, -1, -1)]


def normalised(n_filters: int) -> nn.Sequential:
    """Group normalisation, which treats each image alone, and GELU; a filter alone in its group would lose its mean."""
    n_groups = next((n for n in (8, 4, 2) if n_filters % (2 * n) == 0), 1)
    return nn.Sequential(nn.GroupNorm(n_groups, n_filters), nn.GELU())


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside an identity; at the start the identity alone.

    Parameters
    ----------
    n_filters
        Filters in and out.
    """

    def __init__(self, n_filters: int) -> None:
        super().__init__()
        self.change = nn.Sequential(
            normalised(n_filters),
            nn.Conv2d(n_filters, n_filters, 3, padding=1),
            normalised(n_filters),
            nn.Conv2d(n_filters, n_filters, 3, padding=1),
        )
        nn.init.zeros_(self.change[-1].weight)
        nn.init.zeros_(self.change[-1].bias)

    def forward(self, maps: Maps) -> Maps:
        """Add the change."""
        return maps + self.change(maps)


class ConvEncoder(nn.Sequential):
    """Halve the image by strided 4 x 4 convolutions, then map what is left to features.

    Parameters
    ----------
    shape
        Channels, height and width.
    widths
        Filters after each halving.
    n_blocks
        Residual blocks at the smallest size.
    n_outputs
        Number of features.
    """

    def __init__(self, shape: tuple[int, int, int], widths: tuple[int, ...], n_blocks: int, n_outputs: int) -> None:
        layers: list[nn.Module] = []
        for before, after in pairwise((shape[0], *widths)):
            layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), normalised(after)]
        layers[-1:-1] = [ResidualBlock(widths[-1]) for _ in range(n_blocks)]
        height, width = halved(shape[1:], len(widths))
        layers += [nn.Flatten(), nn.Linear(widths[-1] * height * width, n_outputs)]
        super().__init__(*layers)


TAPS = torch.tensor([[[1.0, 0, 0], [0, 1, 0], [0, 1, 0]], [[0, 1, 0], [0, 1, 0], [0, 0, 1]]])
"""Along one axis: output phase x tap of the kernel x neighbour in the small map that the tap falls on."""


class Enlarge(nn.Module):
    """Double maps by repeating each pixel, then smooth them by a 3 x 3 convolution: a resize-convolution.

    Unlike a transposed convolution, whose windows overlap unevenly, this leaves no checkerboard :cite:p:`odena2016`.
    It is computed on the small map: on repeated pixels the kernel of each of the four output phases falls on the
    3 x 3 neighbours of one small pixel, so that one convolution gives all phases, which are then interleaved.

    Parameters
    ----------
    before, after
        Filters in and out.
    size
        Size of the result: twice that of the maps, less one row or column where it is odd.
    """

    def __init__(self, before: int, after: int, size: Size) -> None:
        super().__init__()
        self.size = size
        self.smooth = nn.Conv2d(before, after, 3, padding=1)

    def forward(self, maps: Maps) -> EnlargedMaps:
        """Enlarge."""
        taps = TAPS.to(maps.device, self.smooth.weight.dtype)
        phases = torch.einsum("ockm,pkj,qml->opqcjl", self.smooth.weight, taps, taps).flatten(0, 2)
        bias = self.smooth.bias.repeat_interleave(4)
        apart = F.conv2d(maps, phases, bias, padding=1).unflatten(1, (-1, 2, 2))
        # as F.pixel_shuffle, which takes half as long again on the CPU
        doubled = apart.permute(0, 1, 4, 2, 5, 3).flatten(4, 5).flatten(2, 3)
        return doubled[:, :, : self.size[0], : self.size[1]]


class TransposedConv(nn.Module):
    """Double maps by a strided 4 x 4 transposed convolution.

    Parameters
    ----------
    before, after
        Filters in and out.
    size
        Size of the result.
    """

    def __init__(self, before: int, after: int, size: Size) -> None:
        super().__init__()
        self.size = size
        self.spread = nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)

    def forward(self, maps: Maps) -> EnlargedMaps:
        """Enlarge."""
        return self.spread(maps)[:, :, : self.size[0], : self.size[1]]


class ConvDecoder(nn.Sequential):
    """Map features to a small image of many filters, then enlarge it step by step to the full size.

    Parameters
    ----------
    n_inputs
        Number of features.
    widths
        Filters before each enlargement, from the smallest image on.
    n_blocks
        Residual blocks at the smallest size.
    shape
        Channels, height and width of the result.
    enlarge
        How maps are enlarged.
    """

    def __init__(
        self,
        n_inputs: int,
        widths: tuple[int, ...],
        n_blocks: int,
        shape: tuple[int, int, int],
        enlarge: type[Enlarge] | type[TransposedConv] = Enlarge,
    ) -> None:
        sizes = sizes_up_to(shape[1:], len(widths))
        height, width = sizes[0]
        layers: list[nn.Module] = [
            nn.Linear(n_inputs, widths[0] * height * width),
            nn.Unflatten(1, (widths[0], height, width)),
            *(ResidualBlock(widths[0]) for _ in range(n_blocks)),
        ]
        for (before, after), size in zip(pairwise((*widths, shape[0])), sizes[1:], strict=True):
            layers += [normalised(before), enlarge(before, after, size)]
        super().__init__(*layers)
