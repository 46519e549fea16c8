"""Microscope images: from fields of view to cells, and from cells to numbers."""

from cellprism.pp._crop_cells import crop_cells

__all__ = ["crop_cells"]
