"""Distributions of images given latents: pixels are independent, and each is scored by itself."""

import math
from abc import abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from cellprism.nn._likelihoods import Likelihood

Images = Float[Tensor, "rows channels height width"]


class ImageLikelihood(Likelihood):
    """A distribution of images with intensities in [0, 1]."""

    @abstractmethod
    def log_probs(self, observed: Images) -> Images:
        """Log-likelihood of each pixel."""

    def log_prob(self, observed: Images) -> Float[Tensor, " rows"]:
        """Log-likelihood of each image."""
        return self.log_probs(observed).flatten(1).sum(1)


@dataclass(frozen=True)
class GaussianPixels(ImageLikelihood):
    r"""Intensities normal around the mean image plus what was decoded, in units of a channel's spread.

    Parameters
    ----------
    deviation
        Decoded deviation from the mean image, in units of ``unit``.
    log_scale
        Logarithm of the residual standard deviation in the same units, one per channel.
    location
        Mean image.
    unit
        Spread of the training cells around the mean image, one per channel.
    """

    deviation: Images
    log_scale: Float[Tensor, "channels 1 1"]
    location: Float[Tensor, "#rows channels height width"]
    unit: Float[Tensor, "channels 1 1"]

    def log_probs(self, observed: Images) -> Images:
        """Log-density of each pixel, in units of the channel's spread."""
        residual = ((observed - self.location) / self.unit - self.deviation) * torch.exp(-self.log_scale)
        return -0.5 * residual.square() - self.log_scale - 0.5 * math.log(2 * math.pi)

    @property
    def mean(self) -> Images:
        """Expected intensities, kept in [0, 1]."""
        return (self.location + self.unit * self.deviation).clamp(0, 1)

    def sample(self) -> Images:
        """Draw intensities, kept in [0, 1]."""
        noise = torch.randn_like(self.deviation) * self.log_scale.exp()
        return (self.location + self.unit * (self.deviation + noise)).clamp(0, 1)


@dataclass(frozen=True)
class BernoulliPixels(ImageLikelihood):
    """Intensities scored by cross-entropy, as if each were the probability that the pixel is lit.

    Parameters
    ----------
    logits
        Log-odds of a lit pixel.
    """

    logits: Images

    def log_probs(self, observed: Images) -> Images:
        """Negative cross-entropy of each pixel; largest, for a given intensity, where the mean equals it."""
        return -F.binary_cross_entropy_with_logits(self.logits, observed, reduction="none")

    @property
    def mean(self) -> Images:
        """Expected intensities."""
        return torch.sigmoid(self.logits)

    def sample(self) -> Images:
        """Draw lit pixels."""
        return torch.bernoulli(self.mean)
