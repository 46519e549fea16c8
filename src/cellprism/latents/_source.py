"""Where latents come from: encoders that infer them from a cell's measurements."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from cellprism.latents._layout import LatentLayout
from cellprism.latents._posterior import Posterior


class Amortised(nn.Module):
    """Posteriors of a modality's blocks from the features its encoder found.

    Parameters
    ----------
    n_hidden
        Width of the features.
    layout
        The latent space.
    modality
        Whose blocks.
    private_shapes_features
        Whether private blocks shape the features that they read. Where encoders are aligned with each other, what
        tells modalities apart would cost what aligns them.
    """

    def __init__(
        self, n_hidden: int, layout: LatentLayout, modality: str, *, private_shapes_features: bool = False
    ) -> None:
        super().__init__()
        self.blocks = layout.blocks_of(modality)
        self.onlookers = () if private_shapes_features else layout.private_of(modality)
        self.widths = [layout[name].width for name in self.blocks]
        self.heads = nn.ModuleList(nn.Linear(n_hidden, 2 * width) for width in self.widths)
        self.register_buffer("typical_mean", torch.zeros(sum(self.widths)))
        self.register_buffer("typical_scale", torch.ones(sum(self.widths)))

    def forward(self, features: Float[Tensor, "rows hidden"]) -> dict[str, Posterior]:
        """Give each block's posterior."""
        return {
            name: posterior_from(head(features.detach() if name in self.onlookers else features))
            for name, head in zip(self.blocks, self.heads, strict=True)
        }

    def typical(self, block: str) -> tuple[Float[Tensor, " width"], Float[Tensor, " width"]]:
        """Mean and standard deviation of a block over the training cells."""
        position = self.blocks.index(block)
        return self.typical_mean.split(self.widths)[position], self.typical_scale.split(self.widths)[position]

    def set_typical(self, latents: Float[Tensor, "cells width"]) -> None:
        """Keep mean and standard deviation of the training cells' latents, blocks side by side."""
        self.typical_mean.copy_(latents.mean(0))
        self.typical_scale.copy_(latents.std(0, correction=0))


def posterior_from(raw: Float[Tensor, "rows double_width"]) -> Posterior:
    """Read means and scales (between e^-7 and 1) off a linear layer's outputs."""
    mean, scale = raw.float().chunk(2, dim=1)
    return Posterior(mean, -F.softplus(scale).clamp(max=7.0))
