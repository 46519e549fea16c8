"""Put each class in one place, whatever the modality."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from cellprism._keys import SHARED
from cellprism.objectives._base import Dimensions, Objective

if TYPE_CHECKING:
    from cellprism.module import Outputs


@dataclass(frozen=True, kw_only=True)
class Classifier(Objective):
    r"""Cross-entropy of a linear classifier of the labels, one for the latents of all modalities.

    .. math:: \sum_m \frac{1}{|m|} \sum_{i \in m} -\log p(y_i \mid z_i^{(m)})

    over labelled cells only. At its minimum, zero, where every class is told apart with certainty.

    Parameters
    ----------
    weight
        Multiplies the term; unit: nats.
    warmup
        Share of the epochs over which the weight rises from 0.
    block
        Block to classify.
    label_smoothing
        Share of each label that is spread over all classes, against over-confidence.

    References
    ----------
    The simple model :math:`p(Y \mid Z)` of :cite:t:`yang2021`.
    """

    weight: float = 30.0
    block: str = SHARED
    label_smoothing: float = 0.0

    name: ClassVar[str] = "classifier"

    def build(self, dimensions: Dimensions) -> nn.Module:
        """Build the linear map."""
        if not dimensions.n_classes:
            raise ValueError("Classifier needs labels; register them with setup_mudata(..., labels_key=...).")
        return nn.Linear(dimensions.layout[self.block].width, dimensions.n_classes)

    def _logits(self, outputs: "Outputs", network: nn.Module) -> dict[str, tuple[Tensor, Tensor]]:
        """Logits and labels of the labelled rows of each modality."""
        found = {}
        for modality in outputs.modalities_of(self.block):
            labels = outputs.batch.labels[outputs.batch.observed[modality].cells]
            labelled = torch.nonzero(labels >= 0).flatten()
            if len(labelled):
                found[modality] = network(outputs.samples[modality, self.block][labelled]), labels[labelled]
        return found

    def terms(self, outputs: "Outputs", network: nn.Module) -> dict[str, Float[Tensor, ""]]:
        """Give the cross-entropy per modality."""
        return {
            modality: F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
            for modality, (logits, labels) in self._logits(outputs, network).items()
        }

    def metrics(self, outputs: "Outputs", network: nn.Module) -> dict[str, Float[Tensor, ""]]:
        """Give the accuracy per modality."""
        return {
            f"accuracy_{modality}": (logits.argmax(1) == labels).float().mean()
            for modality, (logits, labels) in self._logits(outputs, network).items()
        }
