"""Keep what is shared out of the private blocks."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cellprism.objectives._base import Objective

if TYPE_CHECKING:
    from cellprism.module import Outputs


@dataclass(frozen=True, kw_only=True)
class Decorrelation(Objective):
    r"""Correlation of each private block with the shared blocks, which should have none.

    .. math:: \sum_m \frac{1}{d_m} \sum_{k, l} r_{kl}^2

    with :math:`r_{kl}` the correlation, over the cells of the batch, of dimension *k* of the private block (width
    :math:`d_m`) with dimension *l* of the shared blocks, as told by each modality the cells have. Without it a
    private block repeats what is shared, since two noisy copies reconstruct better than one. It moves the private
    blocks only. Zero where nothing is private; near zero where the blocks are uncorrelated.

    Parameters
    ----------
    weight
        Multiplies the term; unit: squared correlations per private dimension.
    warmup
        Share of the epochs over which the weight rises from 0.
    """

    weight: float = 10.0

    name: ClassVar[str] = "decorrelation"

    def terms(self, outputs: "Outputs", network: nn.Module) -> dict[str, Float[Tensor, ""]]:
        """Give the term per modality and per modality that tells the shared block."""
        losses = {}
        for modality in outputs.batch.observed:
            if not outputs.has_private(modality):
                continue
            private = torch.cat(
                [outputs.posteriors[modality, block].mean for block in outputs.layout.private_of(modality)], dim=1
            )
            for teller in outputs.batch.observed:
                own, other = _rows_of_both(outputs, modality, teller)
                if len(own) > 2 and outputs.layout.common(modality, teller):
                    shared = torch.cat(
                        [outputs.posteriors[teller, b].mean for b in outputs.layout.common(modality, teller)
                         if b not in outputs.layout.private_of(modality)], dim=1,
                    )  # fmt: skip
                    losses[f"{modality}_from_{teller}"] = squared_correlation(private[own], shared[other].detach())
        return losses


def _rows_of_both(outputs: "Outputs", first: str, second: str) -> tuple[Tensor, Tensor]:
    if first == second:
        rows = torch.arange(len(outputs.batch.observed[first]), device=outputs.batch.cells.device)
        return rows, rows
    return outputs.batch.pairs(first, second)


def squared_correlation(
    private: Float[Tensor, "cells private"], shared: Float[Tensor, "cells shared"]
) -> Float[Tensor, ""]:
    """Squared correlations summed over pairs of dimensions, per private dimension."""
    a, b = (x - x.mean(0) for x in (private, shared))
    a, b = (x / x.square().sum(0).clamp(min=1e-8).sqrt() for x in (a, b))
    return (a.T @ b).square().sum() / private.shape[1]
