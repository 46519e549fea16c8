"""Instruments for anybody's embeddings and translations, and baselines, from arrays or slots."""

from cellprism.tl import baselines
from cellprism.tl._alignment import alignment
from cellprism.tl._classifier_transfer import ClassifierTransfer, classifier_transfer
from cellprism.tl._components_r2 import components_r2
from cellprism.tl._difference_correlation import difference_correlation
from cellprism.tl._explained_variance import explained_variance, r2_score
from cellprism.tl._feature_correlation import feature_correlation
from cellprism.tl._foscttm import foscttm
from cellprism.tl._image_feature_correlation import image_feature_correlation
from cellprism.tl._image_translation_scores import image_translation_scores
from cellprism.tl._joint_umap import joint_umap
from cellprism.tl._label_transfer import label_transfer, label_transfer_both_ways
from cellprism.tl._leakage import leakage
from cellprism.tl._log_normalize import log_normalize
from cellprism.tl._partner_recall import partner_recall
from cellprism.tl._pixel_error import pixel_error
from cellprism.tl._probe import probe
from cellprism.tl._rank_features_along import rank_features_along
from cellprism.tl._rank_features_along_df import rank_features_along_df
from cellprism.tl._structural_similarity import structural_similarity
from cellprism.tl._translation_scores import translation_scores
from cellprism.tl._traverse import traverse
from cellprism.tl._variance_explained import VarianceExplained, variance_explained

__all__ = [
    "ClassifierTransfer",
    "VarianceExplained",
    "alignment",
    "baselines",
    "classifier_transfer",
    "components_r2",
    "difference_correlation",
    "explained_variance",
    "feature_correlation",
    "foscttm",
    "image_feature_correlation",
    "image_translation_scores",
    "joint_umap",
    "label_transfer",
    "label_transfer_both_ways",
    "leakage",
    "log_normalize",
    "partner_recall",
    "pixel_error",
    "probe",
    "r2_score",
    "rank_features_along",
    "rank_features_along_df",
    "structural_similarity",
    "translation_scores",
    "traverse",
    "variance_explained",
]
