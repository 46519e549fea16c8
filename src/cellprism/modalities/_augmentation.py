"""Changes of images in training that keep their biology."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from cellprism._record import Record
from cellprism.nn import flip_and_turn, turn_and_shift

Images = Float[Tensor, "rows channels height width"]
ImagesOrStored = Shaped[Tensor, "rows channels height width"]
Masks = Bool[Tensor, "rows 1 height width"] | None


@dataclass(frozen=True)
class Augmentation(Record):
    """Changes of images in training that keep their biology: a cell on a slide has no up and no left.

    Channels of a cell move together, and so do several image modalities of one cell, if their sizes have one shape.
    What an image is reconstructed to is the moved image. Intensities are left alone by default, since they often
    are what was measured, such as DNA content.

    Parameters
    ----------
    share
        Share of the cells that are changed, another half each time by default. The others keep what the microscope
        gives a direction to, such as shadows, which a model that only sees turned cells cannot learn to predict.
    flips
        Mirror half of the images left and right, and half top and bottom.
    right_angles
        Turn square images by a random multiple of 90 degrees.
    rotation
        Turn by a random angle up to this one besides; unit: degrees.
    shift
        Move by up to this fraction of height and width.
    intensity
        Multiply intensities of each modality by a random factor between ``1 - intensity`` and ``1 + intensity``;
        what then leaves the range is cut off where intensities are scaled.
    """

    share: float = 0.5
    flips: bool = True
    right_angles: bool = True
    rotation: float = 0.0
    shift: float = 0.0
    intensity: float = 0.0

    def __post_init__(self) -> None:
        limits = {"share": 1, "rotation": 180, "shift": 0.5, "intensity": 1}
        for name, limit in limits.items():
            if not 0 <= getattr(self, name) <= limit:
                raise ValueError(f"Augmentation has {name}={getattr(self, name)}; expected 0 to {limit}.")

    @property
    def only_reorders(self) -> bool:
        """Whether pixels change their places alone, whatever the type in which they are stored."""
        return not (self.rotation or self.shift or self.intensity)

    def __call__(
        self, images: ImagesOrStored, mask: Masks, draws: Float[Tensor, "rows draws"]
    ) -> tuple[ImagesOrStored, Masks]:
        """Change each image and its mask as its random numbers, uniform in [0, 1], say."""
        chosen = draws[:, 4] < self.share
        images, mask = self._symmetry(images, mask, draws[:, 0], chosen)
        if self.only_reorders:
            return images, mask
        changed, changed_mask = self._movement(images, mask, draws[:, 1:4])
        if self.intensity:
            factors = 1 + self.intensity * (2 * torch.rand(len(images), device=images.device) - 1)
            changed = changed * factors[:, None, None, None]
        chosen = chosen[:, None, None, None]
        return torch.where(chosen, changed, images), None if mask is None else torch.where(chosen, changed_mask, mask)

    def _symmetry(
        self, images: ImagesOrStored, mask: Masks, draw: Float[Tensor, " rows"], chosen: Bool[Tensor, " rows"]
    ) -> tuple[ImagesOrStored, Masks]:
        allowed = torch.tensor(self.codes(images.shape[2] == images.shape[3]), device=images.device)
        codes = chosen * allowed[(draw * len(allowed)).long().clamp(max=len(allowed) - 1)]
        return flip_and_turn(images, codes), None if mask is None else flip_and_turn(mask, codes)

    def codes(self, is_square: bool) -> tuple[int, ...]:
        """Codes of :func:`~cellprism.nn.flip_and_turn`: turns are those that mirror an even number of times."""
        if self.flips:
            return tuple(range(8)) if self.right_angles and is_square else (0, 1, 2, 3)
        if self.right_angles:
            return (0, 3, 5, 6) if is_square else (0, 3)
        return (0,)

    def _movement(self, images: Images, mask: Masks, draws: Float[Tensor, "rows 3"]) -> tuple[Images, Masks]:
        if not self.rotation and not self.shift:
            return images, mask
        symmetric = 2 * draws - 1
        movement = symmetric[:, 0] * self.rotation, symmetric[:, 1:] * self.shift
        moved = turn_and_shift(images, *movement)
        return moved, None if mask is None else turn_and_shift(mask.float(), *movement, nearest=True) > 0.5
