"""Kinds of measurement: how each is read, encoded, decoded, scored and written."""

from cellprism.modalities._augmentation import Augmentation
from cellprism.modalities._base import Architecture, Coder, Covariates, Modality
from cellprism.modalities._counts import Counts
from cellprism.modalities._features import Features
from cellprism.modalities._image_networks import ImageNetworks, ResidualConvolutions, StridedConvolutions
from cellprism.modalities._images import Images
from cellprism.modalities._inference import infer_modality
from cellprism.modalities._peaks import Peaks
from cellprism.modalities._tabular import Tabular, TabularCoder

__all__ = [
    "Architecture",
    "Augmentation",
    "Coder",
    "Counts",
    "Covariates",
    "Features",
    "ImageNetworks",
    "Images",
    "Modality",
    "Peaks",
    "ResidualConvolutions",
    "StridedConvolutions",
    "Tabular",
    "TabularCoder",
    "infer_modality",
]
