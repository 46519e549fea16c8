"""Terms of the loss, one a file; each is an object with a weight."""

from cellprism.objectives._adversarial import Critic
from cellprism.objectives._anchor import Anchor
from cellprism.objectives._base import Dimensions, Objective
from cellprism.objectives._classification import Classifier
from cellprism.objectives._prior import KLDivergence
from cellprism.objectives._reconstruction import (
    CrossReconstruction,
    JointReconstruction,
    Reconstruction,
    SharedReconstruction,
)

__all__ = [
    "Anchor",
    "Classifier",
    "Critic",
    "CrossReconstruction",
    "Dimensions",
    "JointReconstruction",
    "KLDivergence",
    "Objective",
    "Reconstruction",
    "SharedReconstruction",
]
