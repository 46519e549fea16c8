"""Figures of embeddings, images, training and translations, drawn with matplotlib alone."""

from cellprism.pl._blocks import blocks
from cellprism.pl._embedding import embedding
from cellprism.pl._features_along import features_along
from cellprism.pl._history import history
from cellprism.pl._image_umap import image_umap
from cellprism.pl._images import images
from cellprism.pl._roc import roc
from cellprism.pl._translation import translation
from cellprism.pl._traversal import traversal
from cellprism.pl._true_vs_predicted import true_vs_predicted
from cellprism.pl._variance_explained import variance_explained

__all__ = [
    "blocks",
    "embedding",
    "features_along",
    "history",
    "image_umap",
    "images",
    "roc",
    "translation",
    "traversal",
    "true_vs_predicted",
    "variance_explained",
]
