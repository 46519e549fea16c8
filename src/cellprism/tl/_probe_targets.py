"""What a probe predicts: classes or numbers, one per cell."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from cellprism.tl._matrices import Labels


@dataclass(frozen=True)
class Target:
    """A covariate or factor of every cell.

    Parameters
    ----------
    name
        Its name.
    values
        Text for classes, else numbers; one per cell.
    known
        Which cells have a value.
    has_classes
        Whether the values are classes.
    """

    name: str
    values: np.ndarray
    known: np.ndarray
    has_classes: bool

    @property
    def metric(self) -> str:
        """What it is scored by."""
        return "auroc" if self.has_classes else "r2"

    def usable(self, present: np.ndarray, n_per_class: int) -> np.ndarray:
        """Tell which of the present cells have a value, and one that enough of them share if it is a class."""
        rows = present & self.known
        if self.has_classes:
            names, counts = np.unique(self.values[rows], return_counts=True)
            rows[rows] = np.isin(self.values[rows], names[counts >= n_per_class])
        return rows

    def outputs(self, rows: np.ndarray) -> Float[np.ndarray, "cells outputs"]:
        """Give the chosen cells' numbers as one column, or their classes as one 0-1 column each."""
        chosen = self.values[rows]
        if not self.has_classes:
            return chosen[:, None]
        return (chosen[:, None] == np.unique(chosen)).astype(np.float64)


def as_target(name: str, values: Labels, n_cells: int) -> Target:
    """Tell classes (text, categories, booleans) from numbers, after checking that there is one value per cell."""
    if np.ndim(values) != 1 or len(values) != n_cells:
        raise ValueError(
            f"Found target {name!r} of shape {np.shape(values)} for {n_cells} cells, expected one value per cell. "
            "Give each column of an array a name of its own."
        )
    column = pd.Series(values).reset_index(drop=True)
    if getattr(column.dtype, "kind", "O") in "mMc":
        raise ValueError(
            f"Found target {name!r} of type {column.dtype}, expected numbers, text, categories or booleans."
        )
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
        return Target(name, numbers, np.isfinite(numbers), has_classes=False)
    names = column.astype(object).astype(str).to_numpy(dtype=str)
    return Target(name, names, column.notna().to_numpy(), has_classes=True)
