"""Figures of embeddings, training and translations, drawn with matplotlib alone."""

from cellprism.pl._embedding import embedding
from cellprism.pl._history import history
from cellprism.pl._true_vs_predicted import true_vs_predicted

__all__ = ["embedding", "history", "true_vs_predicted"]
