"""Microscope images: from fields of view to cells, and from cells to numbers."""

from cellprism.pp._crop_cells import crop_cells
from cellprism.pp._image_features import image_features
from cellprism.pp._limits import intensity_limits
from cellprism.pp._normalize_images import normalize_images
from cellprism.pp._radial_profile import radial_profile
from cellprism.pp._read_scportrait import read_scportrait
from cellprism.pp._resize_images import resize_images

__all__ = [
    "crop_cells",
    "image_features",
    "intensity_limits",
    "normalize_images",
    "radial_profile",
    "read_scportrait",
    "resize_images",
]
