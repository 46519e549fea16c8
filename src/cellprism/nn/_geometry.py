"""Movements of images that biology does not mind."""

import math

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.nn import functional as F

Images = Float[Tensor, "rows channels height width"]
ImagesOrMasks = Shaped[Tensor, "rows channels height width"]


def flip_and_turn(images: ImagesOrMasks, codes: Int[Tensor, " rows"]) -> ImagesOrMasks:
    """Apply one of the eight symmetries of the square to each image.

    Parameters
    ----------
    images
        Square where a code asks for a quarter turn.
    codes
        0 to 7: add 1 to mirror left and right, 2 to mirror top and bottom, 4 to exchange rows and columns.
    """
    moves = {1: lambda x: x.flip(3), 2: lambda x: x.flip(2), 4: lambda x: x.transpose(2, 3)}
    for bit, move in moves.items():
        chosen = (codes & bit).bool()
        if chosen.any():
            images = torch.where(chosen[:, None, None, None], move(images), images)
    return images


def turn_and_shift(
    images: Images, angles: Float[Tensor, " rows"], shifts: Float[Tensor, "rows 2"], *, nearest: bool = False
) -> Images:
    """Move each image, then turn it about the middle of the frame; what comes in from outside repeats the border.

    Parameters
    ----------
    images
        Any size.
    angles
        Counter-clockwise; unit: degrees.
    shifts
        Down and to the right, as fractions of height and width.
    nearest
        Take the nearest pixel instead of interpolating, for masks.
    """
    height, width = images.shape[2:]
    sine, cosine = torch.sin(angles * math.pi / 180), torch.cos(angles * math.pi / 180)
    # affine_grid works in units of half the side, so that a turn of a rectangle must be stretched
    rows = [cosine, -sine * height / width, -2 * shifts[:, 1]], [sine * width / height, cosine, -2 * shifts[:, 0]]
    movement = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)
    grid = F.affine_grid(movement, list(images.shape), align_corners=False)
    mode = "nearest" if nearest else "bilinear"
    return F.grid_sample(images, grid, mode=mode, padding_mode="border", align_corners=False)
