"""The networks of an image modality around its scaling and its likelihood."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from cellprism.data import ImageRows, Rows
from cellprism.modalities._base import Architecture, Coder, Covariates
from cellprism.nn import (
    BernoulliPixels,
    GaussianPixels,
    ImageLikelihood,
    Likelihood,
    NamedModules,
    activation,
    flip_and_turn,
    structural_similarity,
)

if TYPE_CHECKING:
    from cellprism.modalities._images import Images

Pixels = Float[Tensor, "rows channels height width"]
CHUNK = 256
MAX_STATISTICS = 2_000
LARGEST_PROFILE = 32


class Modulation(nn.Module):
    """Scale and shift features by what was stained :cite:p:`perez2018`; at the start not at all.

    Parameters
    ----------
    n_identities
        Number of things that can be stained; 0 leaves features alone.
    width
        Number of features.
    """

    def __init__(self, n_identities: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_identities, 2 * width) if n_identities else None
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight, std=0.1)

    def forward(
        self, features: Float[Tensor, "rows width"], identity: Int[Tensor, " rows"] | None
    ) -> Float[Tensor, "rows width"]:
        """Modulate."""
        if self.embedding is None or identity is None:
            return features
        scale, shift = self.embedding(identity).chunk(2, dim=1)
        return features * (1 + scale) + shift


class ImageDecoder(nn.Module):
    """From latents and covariates to deviations from the mean image.

    Parameters
    ----------
    width
        Width of the latent.
    n_batches
        Number of experimental batches.
    n_identities
        Number of things that can be stained.
    n_hidden
        Width of the features from which the image is drawn.
    network
        From features to values of pixels.
    """

    def __init__(self, width: int, n_batches: int, n_identities: int, n_hidden: int, network: nn.Module) -> None:
        super().__init__()
        self.lift = nn.Linear(width + n_batches, n_hidden)
        self.modulation = Modulation(n_identities, n_hidden)
        self.network = network

    def forward(self, latent: Float[Tensor, "rows latents"], covariates: Covariates) -> Pixels:
        """Decode."""
        features = self.lift(torch.cat([latent, covariates.batches], dim=1))
        return self.network(self.modulation(features, covariates.identity)).float()


class ImageCoder(Coder):
    """Networks for :class:`~cellprism.modalities.Images`.

    Parameters
    ----------
    images
        The modality.
    shape
        Channels, height and width.
    widths
        Width of the latent that each decoder reads.
    n_batches
        Number of experimental batches.
    architecture
        Sizes.
    """

    def __init__(
        self,
        images: "Images",
        shape: tuple[int, ...],
        widths: dict[str, int],
        n_batches: int,
        architecture: Architecture,
    ) -> None:
        super().__init__()
        self.images = images
        self.n_hidden = architecture.n_hidden
        self.n_features = int(torch.tensor(shape).prod())
        channels, n_identities = shape[0], len(images.identities or ())
        self.encoder = images.networks.encoder(shape, self.n_hidden)
        self.batch_effect = nn.Linear(n_batches, self.n_hidden, bias=False)
        self.measured_effect = nn.Linear(channels, self.n_hidden, bias=False) if images.measured else None
        self.modulation = Modulation(n_identities, self.n_hidden)
        self.activation = activation(self.n_hidden, architecture.dropout_rate)
        self.decoders = NamedModules(
            {
                path: ImageDecoder(
                    width, n_batches, n_identities, self.n_hidden, images.networks.decoder(self.n_hidden, shape)
                )
                for path, width in widths.items()
            }
        )
        self.register_buffer("low", torch.zeros(channels, 1, 1))
        self.register_buffer("high", torch.ones(channels, 1, 1))
        self.register_buffer("location", torch.zeros(max(1, n_identities), *shape))
        self.register_buffer("unit", torch.ones(channels, 1, 1))
        self.log_scale = nn.Parameter(torch.zeros(channels, 1, 1))

    def fractions(self, rows: ImageRows) -> Pixels:
        """Scale intensities to [0, 1] as the modality says."""
        pixels = rows.fractions()
        if self.images.scale == "cell":
            low, high = pixels.amin((2, 3), keepdim=True), pixels.amax((2, 3), keepdim=True)
            return (pixels - low) / (high - low).clamp(min=1e-6)
        if self.images.scale == "dtype":
            return pixels.clamp(0, 1)
        return ((pixels - self.low) / (self.high - self.low)).clamp(0, 1)

    def fit_statistics(self, rows: Rows) -> None:
        """Keep the range of intensities, the mean image and the spread around it, of measured channels only."""
        if self.images.scale == "percentile":
            self._fit_range(rows)
        self._fit_location(rows)
        self._fit_unit(rows)

    def _fit_range(self, rows: ImageRows) -> None:
        chosen = rows.take(torch.linspace(0, len(rows) - 1, min(len(rows), MAX_STATISTICS)).long().to(rows.device))
        for channel, known in enumerate(_known(chosen)[:, :, 0, 0].bool().T):
            measured = ImageRows(chosen.stored[known][:, [channel]], chosen.intensity_range)
            if len(measured):
                low, high = np.percentile(measured.fractions().cpu().numpy(), self.images.percentiles)
                self.low[channel], self.high[channel] = float(low), max(float(high), float(low) + 1e-6)

    def _fit_location(self, rows: ImageRows) -> None:
        """Mean image of each identity, in every position in which training shows it; of all where there is none."""
        total, count = torch.zeros_like(self.location), torch.zeros_like(self.location[:, :, :1, :1])
        for part in _chunks(rows):
            part = part.to(self.location.device)
            known, identity = _known(part), self._identity_or_zero(part)
            total.index_add_(0, identity, self.fractions(part) * known)
            count.index_add_(0, identity, known)
        overall = total.sum(0, keepdim=True) / count.sum(0, keepdim=True).clamp(min=1)
        mean = torch.where(count > 0, total / count.clamp(min=1), overall)
        is_square = mean.shape[2] == mean.shape[3]
        codes = self.images.augmentation.codes(is_square)
        turned = [flip_and_turn(mean, torch.full((len(mean),), code, device=mean.device)) for code in codes]
        share = self.images.augmentation.share
        self.location.copy_((1 - share) * mean + share * torch.stack(turned).mean(0))

    def _fit_unit(self, rows: ImageRows) -> None:
        total, count = torch.zeros_like(self.unit), torch.zeros_like(self.unit)
        for part in _chunks(rows):
            part = part.to(self.location.device)
            known = _known(part)
            deviation = (self.fractions(part) - self._location(part.identity)) * known
            total += deviation.square().mean((2, 3), keepdim=True).sum(0)
            count += known.sum(0)
        self.unit.copy_((total / count.clamp(min=1)).sqrt().clamp(min=1e-3))

    def _identity_or_zero(self, rows: ImageRows) -> Int[Tensor, " rows"]:
        return torch.zeros(len(rows), dtype=torch.long, device=rows.device) if rows.identity is None else rows.identity

    def identity(self, rows: Rows) -> Int[Tensor, " rows"] | None:
        """Give what was stained in each cell."""
        return rows.identity

    def depth(self, rows: Rows) -> Float[Tensor, " rows"]:
        """Give 1: images know no depth."""
        return torch.ones(len(rows), device=rows.device)

    def augment(self, rows: Rows, draws: Float[Tensor, "rows draws"]) -> Rows:
        """Change images and masks as the modality's augmentation says."""
        augmentation = self.images.augmentation
        rows = rows if augmentation.only_reorders else rows.as_fractions()
        return rows.with_pixels(*augmentation(rows.stored, rows.mask, draws))

    def _deviation(self, rows: ImageRows) -> Pixels:
        return _where_measured((self.fractions(rows) - self._location(rows.identity)) / self.unit, rows)

    def _location(self, identity: Int[Tensor, " rows"] | None) -> Float[Tensor, "#rows channels height width"]:
        return self.location if identity is None else self.location[identity]

    def profile(self, rows: Rows) -> Float[Tensor, "rows values"]:
        """Give deviations from the mean image, by blocks of pixels so that no side has more than 32."""
        deviation = self._deviation(rows)
        size = [min(side, LARGEST_PROFILE) for side in deviation.shape[2:]]
        return F.adaptive_avg_pool2d(deviation, size).flatten(1)

    def encode(self, rows: Rows, batches: Float[Tensor, "rows batches"]) -> Float[Tensor, "rows hidden"]:
        """Encode standardised deviations from the mean image; a channel that was not measured shows none."""
        features = self.encoder(self._deviation(rows)) + self.batch_effect(batches)
        if self.measured_effect is not None:
            features = features + self.measured_effect(_known(rows)[:, :, 0, 0])
        return self.activation(self.modulation(features, rows.identity))

    def decode(self, path: str, latent: Float[Tensor, "rows width"], covariates: Covariates) -> Likelihood:
        """Decode by the decoder of that name.

        Raises
        ------
        ValueError
            If it is not said which identity to predict.
        """
        if self.images.identity is not None and covariates.identity is None:
            raise ValueError(
                f"It is not said what to predict; pass identity=..., one of {', '.join(self.images.identities or ())}."
            )
        deviation = self.decoders[path](latent, covariates)
        location = self._location(covariates.identity)
        if self.images.likelihood == "bernoulli":
            return BernoulliPixels(deviation + torch.logit(location.clamp(0.002, 0.998)))
        return GaussianPixels(deviation, self.log_scale.clamp(min=-4), location, self.unit)

    def measured(self, rows: Rows) -> Pixels:
        """Give intensities from 0 to 1."""
        return self.fractions(rows)

    def log_likelihood(self, likelihood: Likelihood, rows: Rows) -> Float[Tensor, " rows"]:
        """Score the pixels of measured channels, weighted; the foreground weighs more where a mask was given."""
        target = self.fractions(rows)
        of_pixels = _where_measured(_as_images(likelihood).log_probs(target), rows)
        if rows.mask is not None:
            of_pixels = of_pixels * (1 + (self.images.foreground_weight - 1) * rows.mask)
        scores = of_pixels.flatten(1).sum(1)
        if self.images.structural_similarity:
            similarity, known = structural_similarity(likelihood.mean, target).mean((2, 3), keepdim=True), _known(rows)
            penalty = ((1 - similarity) * known).sum((1, 2, 3)) * self.n_features / known.shape[1]
            scores = scores - self.images.structural_similarity * penalty
        return self.images.reconstruction_weight * scores


def _as_images(likelihood: Likelihood) -> ImageLikelihood:
    if not isinstance(likelihood, ImageLikelihood):
        raise TypeError(f"Found {type(likelihood).__name__}; expected a distribution of images.")
    return likelihood


def _known(rows: ImageRows) -> Float[Tensor, "rows channels 1 1"]:
    """1 where a channel was measured, else 0."""
    if rows.measured is None:
        return torch.ones(*rows.stored.shape[:2], 1, 1, device=rows.device)
    return rows.measured[:, :, None, None].float()


def _where_measured(values: Pixels, rows: ImageRows) -> Pixels:
    """Zero in channels that were not measured."""
    return values if rows.measured is None else values * _known(rows)


def _chunks(rows: ImageRows) -> Iterator[ImageRows]:
    for positions in torch.arange(len(rows), device=rows.device).split(CHUNK):
        yield rows.take(positions)
