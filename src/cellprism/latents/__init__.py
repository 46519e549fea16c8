"""The latent space: its layout, and what is believed about each cell's place in it."""

from cellprism.latents._free import FreeLatents
from cellprism.latents._layout import Block, LatentLayout
from cellprism.latents._posterior import Posterior, product_of_experts
from cellprism.latents._source import Amortised

__all__ = ["Amortised", "Block", "FreeLatents", "LatentLayout", "Posterior", "product_of_experts"]
