"""Terms of the loss, one a file; each is an object with a weight."""

from cellprism.objectives._adversarial import Critic
from cellprism.objectives._anchor import Anchor
from cellprism.objectives._base import Dimensions, Objective
from cellprism.objectives._classification import Classifier
from cellprism.objectives._code_prior import CodePrior
from cellprism.objectives._code_regression import CodeRegression
from cellprism.objectives._independence import Independence
from cellprism.objectives._label_anchor import LabelAnchor
from cellprism.objectives._norm import NormPenalty
from cellprism.objectives._prior import KLDivergence
from cellprism.objectives._reconstruction import (
    CrossReconstruction,
    JointReconstruction,
    MatchedReconstruction,
    Reconstruction,
    SharedReconstruction,
)
from cellprism.objectives._separation import Decorrelation

__all__ = [
    "Anchor",
    "Classifier",
    "CodePrior",
    "CodeRegression",
    "Critic",
    "CrossReconstruction",
    "Decorrelation",
    "Dimensions",
    "Independence",
    "JointReconstruction",
    "KLDivergence",
    "LabelAnchor",
    "MatchedReconstruction",
    "NormPenalty",
    "Objective",
    "Reconstruction",
    "SharedReconstruction",
]
