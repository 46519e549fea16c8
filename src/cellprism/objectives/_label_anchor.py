"""Bring cells of one class together across modalities."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from cellprism._keys import SHARED
from cellprism.objectives._base import Dimensions, Objective

if TYPE_CHECKING:
    from cellprism.module import Outputs

Latent = Float[Tensor, "_ width"]
Labels = Int[Tensor, " _"]


@dataclass(frozen=True, kw_only=True)
class LabelAnchor(Objective):
    r"""Ask each labelled cell to find the cells of its class among those of the other modality.

    .. math:: -\frac{1}{|a|} \sum_{i \in a} \frac{1}{|P_i|} \sum_{j \in P_i}
              \log \frac{e^{-\beta d_{ij}}}{\sum_{k \in b} e^{-\beta d_{ik}}}

    with :math:`d_{ij}` the mean squared difference of the posterior means of cell *i* in modality *a* and of cell
    *j* in modality *b*, :math:`P_i` the cells of *b* with the label of *i*, and :math:`\beta` learnt; both ways
    averaged. A classifier puts the classes of each modality on the right side of its boundaries; this term puts
    them at the same place, where neighbours are looked for. Nothing where a batch holds no class in both
    modalities.

    Parameters
    ----------
    weight
        Multiplies the term; unit: nats.
    warmup
        Share of the epochs over which the weight rises from 0.
    block
        Block to compare; both modalities must see it.

    References
    ----------
    The supervised contrastive loss of :cite:t:`khosla2020`, between modalities.
    """

    weight: float = 30.0
    block: str = SHARED

    name: ClassVar[str] = "label_anchor"

    def build(self, dimensions: Dimensions) -> nn.Module:
        """Build the sharpness."""
        if not dimensions.n_classes:
            raise ValueError("LabelAnchor needs labels; register them with setup_mudata(..., labels_key=...).")
        if len(dimensions.layout[self.block].modalities) < 2:
            raise ValueError(f"LabelAnchor needs a block that two modalities see; {self.block!r} is seen by one.")
        return _Sharpness()

    def terms(self, outputs: "Outputs", network: nn.Module) -> dict[str, Float[Tensor, ""]]:
        """Give the loss per pair of modalities."""
        losses = {}
        for first, second in outputs.modality_pairs(self.block):
            views = [_labelled(outputs, modality, self.block) for modality in (first, second)]
            if torch.isin(views[0][1], views[1][1]).any():
                losses[f"{first}_{second}"] = class_contrastive(*views[0], *views[1], network.log_sharpness.exp())
        return losses


class _Sharpness(nn.Module):
    """How fast similarity falls with distance."""

    def __init__(self) -> None:
        super().__init__()
        self.log_sharpness = nn.Parameter(torch.zeros(()))


def _labelled(outputs: "Outputs", modality: str, block: str) -> tuple[Latent, Labels]:
    """Posterior means and labels of a modality's labelled rows."""
    labels = outputs.batch.labels[outputs.batch.observed[modality].cells]
    known = labels >= 0
    return outputs.posteriors[modality, block].mean[known], labels[known]


def class_contrastive(
    first: Latent, first_labels: Labels, second: Latent, second_labels: Labels, sharpness: Float[Tensor, ""]
) -> Float[Tensor, ""]:
    """Cross-entropy of finding one's class among the other modality's cells, both ways averaged."""
    distance = (first[:, None] - second[None]).square().mean(2)
    logits = -sharpness * distance
    agrees = first_labels[:, None] == second_labels[None]
    return (_find(logits, agrees) + _find(logits.T, agrees.T)) / 2


def _find(logits: Float[Tensor, "from to"], agrees: Tensor) -> Float[Tensor, ""]:
    """Mean, over rows with any match, of the mean negative log probability of the matches."""
    rows = agrees.any(1)
    log_share, agrees = torch.log_softmax(logits, dim=1)[rows], agrees[rows].float()
    return -((log_share * agrees).sum(1) / agrees.sum(1)).mean()
