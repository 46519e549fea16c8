"""A toy objective that no engine file knows."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from cellprism.objectives import Objective

if TYPE_CHECKING:
    from cellprism.module import Outputs


@dataclass(frozen=True, kw_only=True)
class Compactness(Objective):
    """Squared distance of each modality's latents from a radius; zero where all lie on that sphere."""

    radius: float = 1.0
    block: str = "shared"

    name: ClassVar[str] = "compactness"

    def terms(self, outputs: "Outputs", network: nn.Module) -> dict[str, Tensor]:
        return {
            modality: (outputs.posteriors[modality, self.block].mean.norm(dim=1) - self.radius).square().mean()
            for modality in outputs.modalities_of(self.block)
        }
