"""Images of cells as they were stored, with what is known of their pixels."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

RANGES = {"uint8": 255.0, "uint16": 65535.0}
"""Largest intensity of the integer types."""


@dataclass(frozen=True)
class ImageRows:
    """Rows of images in the type in which they were stored; only minibatches become floating-point numbers.

    Parameters
    ----------
    stored
        One image a row; 16-bit intensities as the signed numbers of the same bits, which every torch version gathers.
    intensity_range
        What counts as full intensity: 255, 65535, or 1 for floating-point images.
    mask
        Which pixels belong to the cell; ``None`` where no mask was given.
    measured
        Which channels were measured of each cell; ``None`` where all were.
    identity
        Code of what was stained in each cell; ``None`` where that does not differ.
    """

    stored: Shaped[Tensor, "rows channels height width"]
    intensity_range: float
    mask: Bool[Tensor, "rows 1 height width"] | None = None
    measured: Bool[Tensor, "rows channels"] | None = None
    identity: Int[Tensor, " rows"] | None = None

    @classmethod
    def from_numpy(
        cls,
        images: np.ndarray,
        *,
        mask: np.ndarray | None = None,
        measured: np.ndarray | None = None,
        identity: np.ndarray | None = None,
    ) -> Self:
        """Take images of type uint8, uint16 or floating point, and what goes with them; copy where the type changes."""
        images = np.ascontiguousarray(images, dtype=np.float32 if images.dtype.kind == "f" else images.dtype)
        known = RANGES.get(images.dtype.name, 1.0)
        stored = torch.from_numpy(images.view(np.int16) if images.dtype == np.uint16 else images)
        rest = (
            None if part is None else torch.from_numpy(np.ascontiguousarray(part))
            for part in (mask, measured, identity)
        )
        return cls(stored, known, *rest)

    def __len__(self) -> int:
        return len(self.stored)

    @property
    def device(self) -> torch.device:
        """Where the rows lie."""
        return self.stored.device

    @property
    def nbytes(self) -> int:
        """Memory that the rows take; unit: bytes."""
        parts = (self.stored, self.mask, self.measured, self.identity)
        return sum(part.nbytes for part in parts if part is not None)

    @property
    def n_features(self) -> int:
        """Number of values in a row."""
        return int(np.prod(self.stored.shape[1:]))

    def dense(self) -> Float[Tensor, "rows channels height width"]:
        """Intensities as stored, as floating-point numbers."""
        return self._intensities().float()

    def fractions(self) -> Float[Tensor, "rows channels height width"]:
        """Intensities as fractions of the range of their type."""
        return self._intensities() / self.intensity_range

    def _intensities(self) -> Shaped[Tensor, "rows channels height width"]:
        return self.stored.to(torch.int32) & 0xFFFF if self.stored.dtype == torch.int16 else self.stored

    def take(self, rows: Int[Tensor, " taken"]) -> Self:
        """Gather rows by position, in the order given."""
        return self._map(lambda part: part[rows])

    def to(self, device: torch.device | str) -> Self:
        """Move to a device."""
        return self._map(lambda part: part.to(device, non_blocking=True))

    def _map(self, change: Callable[[Tensor], Tensor]) -> Self:
        parts = {name: getattr(self, name) for name in ("stored", "mask", "measured", "identity")}
        return replace(self, **{name: change(part) for name, part in parts.items() if part is not None})

    def as_fractions(self) -> Self:
        """Store fractions of the range of the type instead."""
        return replace(self, stored=self.fractions(), intensity_range=1.0)

    def with_pixels(
        self, stored: Shaped[Tensor, "rows channels height width"], mask: Bool[Tensor, "rows 1 height width"] | None
    ) -> Self:
        """Give other pixels of the same range, and the mask that goes with them."""
        return replace(self, stored=stored, mask=mask)
