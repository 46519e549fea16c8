"""Coordinates in which latents are given: principal axes of what a block does to the measurements."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from cellprism.data import Batch, CellLoader
from cellprism.modalities import Covariates

if TYPE_CHECKING:
    from cellprism.data import CellDataset
    from cellprism.module import LatentModule

N_CELLS = 2_000
BATCH_SIZE = 256
LEAST_SCALE = 1e-3


@torch.inference_mode()
def principal_axes(module: "LatentModule", dataset: "CellDataset", training: np.ndarray) -> dict[str, np.ndarray]:
    r"""Axes of each block, ordered and scaled by how far the decoded measurements move along them.

    Codes are determined up to what decoders undo, such as a rotation. With *B* the slopes by which decoded
    measurements, standardised by the spread of the data, follow the codes of a block (all other blocks at the
    prior's mean), codes *c* become the principal components of :math:`c (B B^\top)^{1/2}`: the distance of two cells
    in a block is then the distance of what the block says about their measurements.

    Parameters
    ----------
    module
        With codes fitted to the training cells.
    dataset
        All cells.
    training
        Rows of the cells to look at, of which at most 2,000 of each modality are.

    Returns
    -------
    By block, (width, width); latents are multiplied by it from the right.
    """
    return {block.name: _axes(module, dataset, training, block.name) for block in module.layout.blocks}


def _axes(module: "LatentModule", dataset: "CellDataset", cells: np.ndarray, block: str) -> np.ndarray:
    width = module.layout[block].width
    effect = np.zeros((width, width))
    for modality in module.layout[block].modalities:
        slopes = _slopes(module, dataset, cells, block, modality)
        effect += slopes @ slopes.T / slopes.shape[1]
    values, vectors = np.linalg.eigh(effect)
    scale = np.sqrt(values.clip(min=0))
    metric = vectors * scale.clip(min=LEAST_SCALE * max(scale.max(), 1e-6))
    seen = np.logical_or.reduce([dataset.is_observed(name)[cells] for name in module.layout[block].modalities])
    chosen = dataset.some_of(cells[seen], N_CELLS)
    codes = module.codes(torch.as_tensor(chosen, device=module.device))[block].mean.cpu().numpy() @ metric
    centred = codes - codes.mean(0)
    turned = np.linalg.eigh(centred.T @ centred)[1][:, ::-1]
    # the side that most codes lean away from is positive, so that seeds agree
    signs = np.where(((centred @ turned) ** 3).mean(0) < 0, -1.0, 1.0)
    is_used = module.codes.used()[block].cpu().numpy()
    return (is_used[:, None] * metric @ (turned * signs)).astype(np.float32)


def _slopes(module: "LatentModule", dataset: "CellDataset", cells: np.ndarray, block: str, modality: str) -> np.ndarray:
    """Slopes (width, values) of decoded measurements on the codes of one block, by the data's standard deviation."""
    measured = dataset.some_of(cells[dataset.is_observed(modality)[cells]], N_CELLS)
    codes, decoded, observed = Moments(), Moments(), Moments()
    for batch in CellLoader(dataset.only([modality]), measured, batch_size=BATCH_SIZE):
        batch = batch.to(module.device)
        rows, own = batch.observed[modality].rows, module.codes(batch.cells)[block].mean.double()
        values = _decoded_from(module, batch, block, modality).double()
        codes.add(own, own)
        decoded.add(values, own)
        observed.add(module.coders[modality].measured(rows).flatten(1).double())
    centred = codes.products - np.outer(codes.sums, codes.sums) / codes.n
    follows = decoded.products - np.outer(codes.sums, decoded.sums) / codes.n
    spread = np.sqrt((observed.squares / observed.n - (observed.sums / observed.n) ** 2).clip(min=0))
    return np.linalg.pinv(centred, rcond=1e-8, hermitian=True) @ follows / np.where(spread > 1e-6, spread, np.inf)


class Moments:
    """Sums of values, of their squares, and of their products with codes."""

    def __init__(self) -> None:
        self.n = 0
        self.sums = self.squares = self.products = np.zeros(1)

    def add(self, values: torch.Tensor, codes: torch.Tensor | None = None) -> None:
        """Add the rows of a batch."""
        self.n += len(values)
        self.sums = self.sums + values.sum(0).cpu().numpy()
        self.squares = self.squares + values.square().sum(0).cpu().numpy()
        if codes is not None:
            self.products = self.products + (codes.T @ values).cpu().numpy()


def _decoded_from(module: "LatentModule", batch: Batch, block: str, modality: str) -> torch.Tensor:
    """Expected measurements (cells, values) from one block's codes alone, batches and depth as in the mean cell."""
    codes = module.codes(batch.cells)
    parts = [
        codes[name].mean if name == block else torch.zeros_like(codes[name].mean)
        for name in module.layout.blocks_of(modality)
    ]
    own = module.coders[modality].covariates(batch.observed[modality].rows, module.one_hot(batch.batch_codes))
    typical = Covariates(
        own.batches.mean(0, keepdim=True).expand_as(own.batches), own.depth.mean().expand_as(own.depth), own.identity
    )
    return module.decode(modality, "full", torch.cat(parts, dim=1), typical).mean.flatten(1)
