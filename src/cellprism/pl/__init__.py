"""Figures of embeddings, images, training and translations, drawn with matplotlib alone."""

from cellprism.pl._embedding import embedding
from cellprism.pl._history import history
from cellprism.pl._image_umap import image_umap
from cellprism.pl._images import images
from cellprism.pl._roc import roc
from cellprism.pl._translation import translation
from cellprism.pl._true_vs_predicted import true_vs_predicted

__all__ = ["embedding", "history", "image_umap", "images", "roc", "translation", "true_vs_predicted"]
