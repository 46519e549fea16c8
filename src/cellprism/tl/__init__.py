"""Scores of anybody's embeddings and translations, and baselines, from arrays or slots."""

from cellprism.tl import baselines
from cellprism.tl._alignment import alignment
from cellprism.tl._components_r2 import components_r2
from cellprism.tl._difference_correlation import difference_correlation
from cellprism.tl._explained_variance import explained_variance, r2_score
from cellprism.tl._feature_correlation import feature_correlation
from cellprism.tl._foscttm import foscttm
from cellprism.tl._joint_umap import joint_umap
from cellprism.tl._label_transfer import label_transfer, label_transfer_both_ways
from cellprism.tl._log_normalize import log_normalize
from cellprism.tl._partner_recall import partner_recall
from cellprism.tl._translation_scores import translation_scores

__all__ = [
    "alignment",
    "baselines",
    "components_r2",
    "difference_correlation",
    "explained_variance",
    "feature_correlation",
    "foscttm",
    "joint_umap",
    "label_transfer",
    "label_transfer_both_ways",
    "log_normalize",
    "partner_recall",
    "r2_score",
    "translation_scores",
]
