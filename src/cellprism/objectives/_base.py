"""What a term of the loss must offer."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cellprism._record import Record
from cellprism.latents import LatentLayout

if TYPE_CHECKING:
    from cellprism.module import Outputs


@dataclass(frozen=True)
class Dimensions:
    """What an objective may need to know before it sees data.

    Parameters
    ----------
    modalities
        Names of the modalities.
    layout
        The latent space.
    n_classes
        Number of label classes; 0 without labels.
    n_markers
        Number of continuous markers; 0 without markers.
    """

    modalities: tuple[str, ...]
    layout: LatentLayout
    n_classes: int
    n_markers: int

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Every two modalities, once."""
        for position, first in enumerate(self.modalities):
            for second in self.modalities[position + 1 :]:
                yield first, second


@dataclass(frozen=True, kw_only=True)
class Objective(Record, ABC):
    """One term of the loss.

    Parameters
    ----------
    weight
        Multiplies the term.
    warmup
        Share of the epochs over which the weight rises from 0.
    """

    weight: float = 1.0
    warmup: float = 0.0

    name: ClassVar[str]
    """Name of the term in the history."""
    is_adversarial: ClassVar[bool] = False
    """Whether the term has a critic, which trains in turns, and says nothing about progress when held out."""

    is_of_encoders: ClassVar[bool] = False
    """Whether the term is about what encoders infer, so that latents that belong to cells have none of it."""

    trains_shared_decoders: ClassVar[bool] = False
    """Whether the term teaches shared-only decoders."""

    @property
    def is_per_cell(self) -> bool:
        """Whether the term judges each cell's latents by that cell's measurements alone."""
        return False

    def build(self, dimensions: Dimensions) -> nn.Module:
        """Build the networks of the term; none by default.

        Raises
        ------
        ValueError
            If the data lack what the term needs.
        """
        return nn.Module()

    def scale(self, progress: float) -> float:
        """Weight when a share ``progress`` of the epochs has passed."""
        return self.weight * (min(1.0, progress / self.warmup) if self.warmup > 0 else 1.0)

    @abstractmethod
    def terms(self, outputs: "Outputs", network: nn.Module) -> dict[str, Float[Tensor, ""]]:
        """Give the loss by what it is about, such as a modality; nothing where the batch has nothing for it."""

    def loss(self, outputs: "Outputs", network: nn.Module) -> Float[Tensor, ""]:
        """Sum the terms, without the weight."""
        return sum(self.terms(outputs, network).values(), start=torch.zeros((), device=outputs.batch.cells.device))

    def metrics(self, outputs: "Outputs", network: nn.Module) -> dict[str, Float[Tensor, ""]]:
        """Give what is worth a curve but is not minimised."""
        return {}
