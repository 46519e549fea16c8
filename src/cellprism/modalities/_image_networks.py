"""Networks for images, as settings that a saved model can rebuild."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import nn

from cellprism._record import Record
from cellprism.nn import ConvDecoder, ConvEncoder, TransposedConv, halved

Shape = tuple[int, int, int]


class ImageNetworks(Record, ABC):
    """How the encoder and the decoders of an image modality are built. Subclasses are frozen dataclasses.

    To use networks of your own, derive from this class, or from one of those here to replace one of the two, and
    give any :class:`torch.nn.Module`. What they return is checked by its shape when the model is made.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from torch import nn
    >>> @dataclass(frozen=True)
    ... class Flat(ResidualConvolutions):
    ...     def encoder(self, shape, n_outputs):
    ...         channels, height, width = shape
    ...         return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, n_outputs))
    >>> Flat().check((1, 16, 16), 8)
    """

    @abstractmethod
    def encoder(self, shape: Shape, n_outputs: int) -> nn.Module:
        """Build a network from standardised images (rows, channels, height, width) to (rows, n_outputs)."""

    @abstractmethod
    def decoder(self, n_inputs: int, shape: Shape) -> nn.Module:
        """Build a network from (rows, n_inputs) to values of any size (rows, channels, height, width)."""

    def check(self, shape: Shape, n_hidden: int) -> None:
        """Try both networks on two images.

        Raises
        ------
        ValueError
            If a network gives another shape than was asked for.
        """
        images, features = torch.zeros(2, *shape), torch.zeros(2, n_hidden)
        tried = (
            ("encoder", self.encoder(shape, n_hidden), images, (2, n_hidden)),
            ("decoder", self.decoder(n_hidden, shape), features, (2, *shape)),
        )
        for name, network, given, expected in tried:
            with torch.no_grad():
                found = tuple(network.eval()(given).shape)
            if found != expected:
                raise ValueError(
                    f"{type(self).__name__}.{name} turned {tuple(given.shape)} into {found}; expected {expected}."
                )


@dataclass(frozen=True)
class ResidualConvolutions(ImageNetworks):
    """Strided convolutions with residual blocks and group normalisation; resize-convolutions on the way back.

    The image is halved until its smaller side has at most 7 pixels, with twice as many filters each time. Every
    image is treated alone, so that one cell in a batch is no special case.

    Parameters
    ----------
    n_filters
        Filters at half the size.
    max_filters
        Filters at most.
    n_blocks
        Residual blocks at the smallest size, where they cost little.
    """

    n_filters: int = 16
    max_filters: int = 256
    n_blocks: int = 2

    def _widths(self, shape: Shape) -> tuple[int, ...]:
        n_halvings = next(n for n in range(1, 12) if min(halved(shape[1:], n)) <= 7)
        return tuple(min(self.max_filters, self.n_filters * 2**level) for level in range(n_halvings))

    def encoder(self, shape: Shape, n_outputs: int) -> nn.Module:
        """Build the encoder."""
        return ConvEncoder(shape, self._widths(shape), self.n_blocks, n_outputs)

    def decoder(self, n_inputs: int, shape: Shape) -> nn.Module:
        """Build a decoder."""
        return ConvDecoder(n_inputs, self._widths(shape)[::-1], self.n_blocks, shape)


@dataclass(frozen=True)
class StridedConvolutions(ImageNetworks):
    """Strided convolutions and their transposes, as in both papers, with stated numbers of filters.

    Group normalisation and GELU stand where the papers have batch normalisation and leaky ReLU: the statistics of
    a batch fail for a single cell, and drift between training and use.

    Parameters
    ----------
    widths
        Filters after each halving; by default those of :cite:t:`yang2021` for 64 x 64 pixels.
    """

    widths: tuple[int, ...] = (128, 256, 512, 1024, 1024)

    def _check_size(self, shape: Shape) -> None:
        if min(halved(shape[1:], len(self.widths))) < 1:
            raise ValueError(
                f"Images of {shape[1]} x {shape[2]} pixels are too small for StridedConvolutions with "
                f"{len(self.widths)} halvings; expected sides of at least {2 ** len(self.widths)}. Give fewer widths."
            )

    def encoder(self, shape: Shape, n_outputs: int) -> nn.Module:
        """Build the encoder."""
        self._check_size(shape)
        return ConvEncoder(shape, self.widths, 0, n_outputs)

    def decoder(self, n_inputs: int, shape: Shape) -> nn.Module:
        """Build a decoder."""
        self._check_size(shape)
        return ConvDecoder(n_inputs, self.widths[::-1], 0, shape, TransposedConv)
