"""Two modalities of the same data, with all that is needed to score how they agree."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from cellprism.cli._input import Cells
from cellprism.cli._scale import Measured

MODEL = "CrossModalVAE"
N_NEIGHBOURS = 10
MIN_PAIRS = 20
"""Fewer pairs than this give neither a baseline nor a score."""


@dataclass(frozen=True)
class Comparison:
    """Two modalities with all that is needed to score them.

    Parameters
    ----------
    cells
        Cells, and which are held out.
    x, y
        The modalities' values.
    first, second
        Their names.
    """

    cells: Cells
    x: Measured
    y: Measured
    first: str
    second: str

    def pairs(self, among: pd.Index) -> pd.Index:
        """Cells measured in both."""
        return among.intersection(self.x.cells, sort=False).intersection(self.y.cells, sort=False)

    @cached_property
    def has_training_pairs(self) -> bool:
        """Whether baselines that need pairs can be fitted."""
        return len(self.pairs(self.cells.training)) >= MIN_PAIRS

    @cached_property
    def has_held_out_pairs(self) -> bool:
        """Whether scores that need pairs can be computed."""
        return len(self.pairs(self.cells.held_out)) >= MIN_PAIRS

    def labels_of(self, cells: pd.Index) -> np.ndarray:
        """Give labels by cell name."""
        return self.cells.labels.reindex(cells).to_numpy(dtype=object)

    def classes_of(self, cells: pd.Index) -> set[str]:
        """Give the classes that occur among cells; none without labels."""
        return set() if self.cells.labels is None else set(self.cells.labels.reindex(cells).dropna().astype(str))

    @cached_property
    def contrast(self) -> tuple[Any, Any] | None:
        """Two classes to take the difference of: largest and smallest of numbers, else the two with most cells."""
        if self.cells.labels is None:
            return None
        held_out, training = (self.labels_of(self.pairs(each)) for each in (self.cells.held_out, self.cells.training))
        shown = [name for name in pd.Series(held_out).value_counts().index if not len(training) or name in training]
        if len(shown) < 2:
            return None
        if all(isinstance(name, int | float | np.number) for name in shown):
            return max(shown), min(shown)
        return shown[0], shown[1]
