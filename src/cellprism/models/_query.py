"""Cells that a verb is asked about, and how their latents are turned into measurements."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Int
from mudata import MuData
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from cellprism.data import Batch, CellDataset, CellLoader
from cellprism.latents import Posterior
from cellprism.modalities import Covariates
from cellprism.module import LatentModule
from cellprism.training import fit_codes

Fill = Literal["shared", "mean", "sample", "donor", "zeros"]
FILLS = get_args(Fill)


@dataclass(frozen=True)
class Query:
    """Cells that a verb is asked about.

    Parameters
    ----------
    mdata
        The user's object.
    dataset
        Its rows.
    cells
        Rows asked about.
    batch_size
        Cells a minibatch.
    """

    mdata: MuData
    dataset: CellDataset
    cells: np.ndarray
    batch_size: int

    def batches(self, device: torch.device, modalities: Sequence[str]) -> Iterator[tuple[slice, Batch]]:
        """Give minibatches of some modalities, and which of the cells asked about they are."""
        start = 0
        for batch in CellLoader(self.dataset.only(modalities), self.cells, batch_size=self.batch_size):
            yield slice(start, start + batch.n_cells), batch.to(device)
            start += batch.n_cells


def inferred(module: LatentModule, batch: Batch, refine_steps: int) -> dict[str, Posterior]:
    """What a batch's measurements say about each block, by the encoders, then by so many steps through the decoders."""
    found = module.infer(batch)
    return fit_codes(module, batch, found, n_steps=refine_steps) if refine_steps else found


@dataclass(frozen=True)
class Donors:
    """Training cells whose private codes may stand in for a missing one.

    Parameters
    ----------
    cells
        Rows of the training data.
    shared
        Their shared latents, as their own measurement tells.
    private
        Their private latents.
    """

    cells: np.ndarray
    shared: Float[Tensor, "donors width"]
    private: Float[Tensor, "donors private_width"]

    def private_of(
        self, shared: Float[Tensor, "rows width"], itself: np.ndarray | None
    ) -> Float[Tensor, "rows private_width"]:
        """Private latents of the nearest donor to each row, the cell itself left out."""
        n_neighbors = min(2, len(self.cells))
        search = NearestNeighbors(n_neighbors=n_neighbors).fit(self.shared.cpu().numpy())
        nearest = search.kneighbors(shared.cpu().numpy(), return_distance=False)
        chosen = nearest[:, 0]
        if itself is not None and n_neighbors == 2:
            chosen = np.where(self.cells[chosen] == itself, nearest[:, 1], chosen)
        return self.private[torch.as_tensor(chosen, device=self.private.device)]


@dataclass(frozen=True)
class Decoding:
    """How latents of some cells become a target's measurements.

    Parameters
    ----------
    target
        Modality to decode.
    sources
        Modalities that tell the shared blocks.
    fill
        What stands in for the target's private blocks; ``"own"`` takes them from the target's own measurement.
    batch_codes
        Experimental batches to decode for, averaged; ``None`` keeps each cell's own where the target was measured
        in it, and else averages over the batches in which it was.
    measured_batches
        Experimental batches in which the target was measured in training.
    depth
        Library size to decode for; ``None`` keeps the observed one with ``fill="own"``, and else expects one from
        the shared latent.
    identity
        Code of what to predict where that differs from cell to cell; ``None`` keeps what was measured of each cell.
    n_samples
        Draws from the posterior; 0 decodes its mean.
    donors
        Needed by ``fill="donor"``.
    refine_steps
        Steps by which latents are improved through the decoders.
    """

    target: str
    sources: tuple[str, ...]
    fill: str
    batch_codes: tuple[int, ...] | None
    measured_batches: tuple[int, ...]
    depth: float | None
    identity: int | None = None
    n_samples: int = 0
    donors: Donors | None = None
    refine_steps: int = 0

    @property
    def path(self) -> str:
        """Name of the decoder."""
        return "shared" if self.fill == "shared" else "full"

    def __call__(
        self, module: LatentModule, batch: Batch, itself: np.ndarray | None
    ) -> tuple[Float[Tensor, "cells *features"], Float[Tensor, "cells *features"] | None]:
        """Mean and, with samples, standard deviation of the expected measurement of each cell of the batch."""
        posteriors = inferred(module, batch.only(self.sources), self.refine_steps)
        mean, std = _moments(
            self.expected(module, self._latent(module, batch, posteriors, itself), batch)
            for _ in range(max(1, self.n_samples))
        )
        return mean, std if self.n_samples else None

    def _depth(
        self, module: LatentModule, parts: dict[str, Tensor], batch: Batch, batches: Tensor
    ) -> Float[Tensor, " cells"]:
        if self.depth is not None:
            return torch.full((batch.n_cells,), self.depth, device=batch.cells.device)
        if self.fill == "own":
            return module.coders[self.target].depth(batch.observed[self.target].rows)
        shared = torch.cat([parts[name] for name in module.layout.shared_of(self.target)], dim=1)
        return module.expected_depths[self.target](shared, batches)

    def _identity(self, module: LatentModule, batch: Batch) -> Int[Tensor, " cells"] | None:
        """What to predict of each cell: as asked, else what was measured of it."""
        if self.identity is not None:
            return torch.full((batch.n_cells,), self.identity, device=batch.cells.device)
        observed = batch.observed.get(self.target)
        if observed is None or len(observed) < batch.n_cells:
            return None
        return module.coders[self.target].identity(observed.rows)

    def _draw(self, posterior: Posterior) -> Tensor:
        return posterior.sample() if self.n_samples else posterior.mean

    def _latent(
        self, module: LatentModule, batch: Batch, posteriors: dict[str, Posterior], itself: np.ndarray | None
    ) -> dict[str, Float[Tensor, "cells width"]]:
        shared = {name: posteriors[name] for name in module.layout.shared_of(self.target)}
        parts = {name: self._draw(posterior) for name, posterior in shared.items()}
        if self.path == "full":
            means = torch.cat([posterior.mean for posterior in shared.values()], dim=1)
            parts |= self._private(module, batch, posteriors, means, itself)
        return parts

    def _private(
        self,
        module: LatentModule,
        batch: Batch,
        posteriors: dict[str, Posterior],
        shared: Float[Tensor, "cells width"],
        itself: np.ndarray | None,
    ) -> dict[str, Tensor]:
        names = module.layout.private_of(self.target)
        if self.fill == "own":
            return {name: self._draw(posteriors[name]) for name in names}
        if self.fill == "donor" and self.donors is not None:
            widths = [module.layout[name].width for name in names]
            return dict(zip(names, self.donors.private_of(shared, itself).split(widths, dim=1), strict=True))
        filled = {}
        for name in names:
            mean, scale = module.sources[self.target].typical(name)
            noise = torch.randn(batch.n_cells, len(mean), device=mean.device) if self.fill == "sample" else 0.0
            typical = (mean + scale * noise).expand(batch.n_cells, -1)
            filled[name] = torch.zeros_like(typical) if self.fill == "zeros" else typical
        return filled

    def expected(
        self,
        module: LatentModule,
        parts: dict[str, Float[Tensor, "cells width"]],
        batch: Batch,
    ) -> Float[Tensor, "cells *features"]:
        """Decode latents by block, for the batch's cells or as asked."""
        layout = module.layout
        names = layout.blocks_of(self.target) if self.path == "full" else layout.shared_of(self.target)
        latent = torch.cat([parts[name] for name in names], dim=1)
        choices = [module.one_hot(codes) for codes in self._batch_choices(batch.batch_codes)]
        identity = self._identity(module, batch)
        covariates = (Covariates(c, self._depth(module, parts, batch, c), identity) for c in choices)
        return _moments(module.decode(self.target, self.path, latent, c).mean for c in covariates)[0]

    def _batch_choices(self, own: Int[Tensor, " cells"]) -> list[Int[Tensor, " cells"]]:
        """Codes to decode each cell for; the results are averaged."""
        if self.batch_codes is not None:
            return [torch.full_like(own, code) for code in self.batch_codes]
        measured = torch.isin(own, torch.tensor(self.measured_batches, device=own.device))
        if measured.all():
            return [own]
        return [torch.where(measured, own, code) for code in self.measured_batches]


def _moments(values: Iterator[Float[Tensor, "*shape"]]) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """Mean and standard deviation, one tensor after the other, so that no more than a few are in memory."""
    mean = next(values)
    squares, n = torch.zeros_like(mean[:0]), 1
    for n, value in enumerate(values, start=2):
        change = value - mean
        mean = mean + change / n
        squares = change * (value - mean) + (squares if n > 2 else 0)
    return mean, (squares / n).sqrt() if n > 1 else torch.zeros_like(mean)
