"""Keep private blocks independent of what is shared, also where the dependence is not linear."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cellprism.objectives._base import Objective

if TYPE_CHECKING:
    from cellprism.module import Outputs


@dataclass(frozen=True, kw_only=True)
class Independence(Objective):
    r"""Dependence of each private block on the shared blocks, by the Hilbert-Schmidt independence criterion.

    .. math:: \sum_m \frac{\langle \tilde K_m, \tilde K_S \rangle}
              {\lVert \tilde K_m \rVert \, \lVert \tilde K_S \rVert}

    with :math:`\tilde K` the centred Gaussian kernel of a block's means over the cells of the batch, its width the
    median distance. Unlike :class:`Decorrelation` it sees any dependence, at the cost of two kernels a batch; like it,
    it moves the private blocks only. Between 0 and 1 for each modality; near zero where the blocks are independent.

    Parameters
    ----------
    weight
        Multiplies the term.
    warmup
        Share of the epochs over which the weight rises from 0.

    References
    ----------
    Criterion of :cite:t:`gretton2005`, normalised as in :cite:t:`cortes2012`.
    """

    name: ClassVar[str] = "independence"

    def terms(self, outputs: "Outputs", network: nn.Module) -> dict[str, Float[Tensor, ""]]:
        """Give the dependence per modality."""
        losses = {}
        for modality in outputs.batch.observed:
            if outputs.has_private(modality) and len(outputs.batch.observed[modality]) > 3:
                private, shared = (
                    torch.cat([outputs.posteriors[modality, block].mean for block in blocks], dim=1)
                    for blocks in (outputs.layout.private_of(modality), outputs.layout.shared_of(modality))
                )
                losses[modality] = kernel_alignment(private, shared.detach())
        return losses


def kernel_alignment(first: Float[Tensor, "cells a"], second: Float[Tensor, "cells b"]) -> Float[Tensor, ""]:
    """Cosine of the angle between two centred Gaussian kernels."""
    a, b = centred_kernel(first), centred_kernel(second)
    return (a * b).sum() / (a.square().sum() * b.square().sum()).clamp(min=1e-12).sqrt()


def centred_kernel(values: Float[Tensor, "cells width"]) -> Float[Tensor, "cells cells"]:
    """Gaussian kernel by the median squared distance, centred in rows and columns."""
    distances = (values[:, None] - values[None]).square().sum(2)
    kernel = torch.exp(-distances / distances.detach().median().clamp(min=1e-6))
    return kernel - kernel.mean(0) - kernel.mean(1, keepdim=True) + kernel.mean()
