"""Training: stages, the one plan, and how a stage is run."""

from cellprism.training._codes import fit_codes
from cellprism.training._fit import Fitted, Schedule, fit_stage
from cellprism.training._plan import TrainingPlan, objectives_of
from cellprism.training._resident import keep_in_memory, keep_on_device
from cellprism.training._stage import Optimisation, Stage

__all__ = [
    "Fitted",
    "Optimisation",
    "Schedule",
    "Stage",
    "TrainingPlan",
    "fit_codes",
    "fit_stage",
    "keep_in_memory",
    "keep_on_device",
    "objectives_of",
]
