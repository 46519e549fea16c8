"""Named models: recipes of modalities, layout, objectives and stages."""

from cellprism.models._apollo import Apollo
from cellprism.models._base import LatentModel
from cellprism.models._cross_modal_vae import CrossModalVAE

__all__ = ["Apollo", "CrossModalVAE", "LatentModel"]
