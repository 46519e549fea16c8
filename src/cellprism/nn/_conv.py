"""Convolutional networks from images to features and back, for images of any size and shape."""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

Size = tuple[int, int]
Maps = Float[Tensor, "rows filters height width"]


def halved(size: Size, times: int) -> list[Size]:
    """Sizes of an image that is halved again and again, the full one first; odd sides are rounded down."""
    sizes = [size]
    for _ in range(times):
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    return sizes


def normalised(n_filters: int) -> nn.Sequential:
    """Group normalisation, which treats each image alone, and GELU."""
    n_groups = next(n for n in (8, 4, 2, 1) if n_filters % n == 0)
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
        Residual blocks after each halving.
    n_outputs
        Number of features.
    """

    def __init__(self, shape: tuple[int, int, int], widths: tuple[int, ...], n_blocks: int, n_outputs: int) -> None:
        layers: list[nn.Module] = []
        for before, after in pairwise((shape[0], *widths)):
            layers.append(nn.Conv2d(before, after, 4, stride=2, padding=1))
            layers += [ResidualBlock(after) for _ in range(n_blocks)]
            layers.append(normalised(after))
        height, width = halved(shape[1:], len(widths))[-1]
        layers += [nn.Flatten(), nn.Linear(widths[-1] * height * width, n_outputs)]
        super().__init__(*layers)


class Enlarge(nn.Module):
    """Enlarge maps to a size by repeating pixels, then smooth them by a 3 x 3 convolution.

    Unlike a transposed convolution, whose windows overlap unevenly, this leaves no checkerboard :cite:p:`odena2016`.

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
        self.smooth = nn.Conv2d(before, after, 3, padding=1)

    def forward(self, maps: Maps) -> Maps:
        """Enlarge."""
        return self.smooth(F.interpolate(maps, size=self.size, mode="nearest"))


class TransposedConv(nn.Module):
    """A strided 4 x 4 transposed convolution to an exact size.

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

    def forward(self, maps: Maps) -> Maps:
        """Enlarge."""
        return self.spread(maps, output_size=list(self.size))


class ConvDecoder(nn.Sequential):
    """Map features to a small image of many filters, then enlarge it step by step to the full size.

    Parameters
    ----------
    n_inputs
        Number of features.
    widths
        Filters before each enlargement, from the smallest image on.
    n_blocks
        Residual blocks before each enlargement.
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
        sizes = halved(shape[1:], len(widths))[::-1]
        height, width = sizes[0]
        layers: list[nn.Module] = [
            nn.Linear(n_inputs, widths[0] * height * width),
            nn.Unflatten(1, (widths[0], height, width)),
        ]
        for (before, after), size in zip(pairwise((*widths, shape[0])), sizes[1:], strict=True):
            layers += [ResidualBlock(before) for _ in range(n_blocks)]
            layers += [normalised(before), enlarge(before, after, size)]
        super().__init__(*layers)
