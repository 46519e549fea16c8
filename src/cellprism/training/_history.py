"""Means over an epoch, and the curves they make."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import torch
from torch import Tensor


class History:
    """Curves of every term, one point an epoch."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._weights: dict[str, float] = {}
        self.curves: dict[str, dict[int, float]] = defaultdict(dict)

    def add(self, values: Mapping[str, Tensor], weight: float) -> None:
        """Add a batch's values, weighted by its size."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, torch.zeros((), device=value.device)) + value.detach() * weight
            self._weights[name] = self._weights.get(name, 0.0) + weight

    def close_epoch(self, epoch: int, gather: Callable[[Any], list[Any]] = lambda own: [own]) -> None:
        """Turn what was added, in all processes that ``gather`` asks, into one point of each curve."""
        parts = gather({name: (float(total), self._weights[name]) for name, total in self._sums.items()})
        for name in dict.fromkeys(name for part in parts for name in part):
            totals, weights = zip(*(part[name] for part in parts if name in part), strict=True)
            self.curves[name][epoch] = sum(totals) / sum(weights)
        self._sums, self._weights = {}, {}

    def last(self, name: str) -> float:
        """Newest point of a curve; NaN if it has none."""
        points = self.curves.get(name)
        return next(reversed(points.values())) if points else float("nan")

    def at(self, name: str, epoch: int) -> float:
        """Point of a curve at an epoch; NaN if it has none."""
        return self.curves.get(name, {}).get(epoch, float("nan"))

    def frames(self, first_epoch: int = 0) -> dict[str, pd.DataFrame]:
        """Give the curves as scvi-tools does: a DataFrame each, indexed by epoch."""
        return {
            name: pd.DataFrame(
                {name: list(points.values())},
                index=pd.Index([first_epoch + epoch for epoch in points], name="epoch"),
            )
            for name, points in self.curves.items()
        }
