"""Real cells that ship with the package, read without a network, and simulated ones whose factors are known."""

from cellprism.datasets._a549 import a549
from cellprism.datasets._ht29_ph3_images import ht29_ph3_images
from cellprism.datasets._jurkat_ifc_images import jurkat_ifc_images
from cellprism.datasets._pbmc_citeseq_mosaic import pbmc_citeseq_mosaic
from cellprism.datasets._scgem import scgem
from cellprism.datasets._simulated import simulated

__all__ = ["a549", "ht29_ph3_images", "jurkat_ifc_images", "pbmc_citeseq_mosaic", "scgem", "simulated"]
