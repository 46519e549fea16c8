"""The one forward pass: modalities, a layout and a source of latents give outputs that objectives score."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from cellprism.data import Batch
from cellprism.latents import Amortised, FreeLatents, LatentLayout, Posterior, product_of_experts
from cellprism.modalities import Architecture, Coder, Covariates, Modality
from cellprism.nn import ExpectedDepth, Likelihood, NamedModules
from cellprism.objectives import Dimensions, Objective

Latent = Float[Tensor, "rows width"]

N_DRAWS = 8
"""Random numbers a cell that augmentation may use."""


class LatentModule(nn.Module):
    """Encoders, decoders and the networks of the objectives.

    Parameters
    ----------
    modalities
        The kinds of measurement by name.
    shapes
        Shape of one cell's measurement, by modality.
    layout
        The latent space.
    objectives
        Terms of the loss, whose networks live here.
    architecture
        Sizes.
    n_batches
        Number of experimental batches.
    n_classes
        Number of label classes.
    n_markers
        Number of continuous markers.
    codes
        Latents that belong to cells, for models that fit them.
    """

    def __init__(
        self,
        modalities: Mapping[str, Modality],
        shapes: Mapping[str, tuple[int, ...]],
        *,
        layout: LatentLayout,
        objectives: tuple[Objective, ...],
        architecture: Architecture,
        n_batches: int,
        n_classes: int,
        n_markers: int,
        codes: FreeLatents | None = None,
    ) -> None:
        super().__init__()
        self.layout = layout
        self.codes = codes
        self.n_batches = n_batches
        self.objectives = objectives
        self.coders = NamedModules(
            {
                name: modality.coder(tuple(shapes[name]), _path_widths(layout, name), n_batches, architecture)
                for name, modality in modalities.items()
            }
        )
        self.sources = NamedModules(
            {
                name: Amortised(self.coders[name].n_hidden, layout, name, private_shapes_features=codes is not None)
                for name in modalities
            }
        )
        self.expected_depths = NamedModules(
            {name: ExpectedDepth(layout.width(layout.shared_of(name)), n_batches) for name in modalities}
        )
        dimensions = Dimensions(tuple(modalities), layout, n_classes, n_markers)
        self.networks = nn.ModuleList(objective.build(dimensions) for objective in objectives)

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(self.parameters()).device

    def one_hot(self, batch_codes: Int[Tensor, " rows"]) -> Float[Tensor, "rows batches"]:
        """Experimental batches as columns."""
        return F.one_hot(batch_codes, self.n_batches).float()

    def encode(self, batch: Batch) -> dict[tuple[str, str], Posterior]:
        """Posterior of every block from every modality that was observed, rows as observed."""
        posteriors = {}
        for modality, observed in batch.observed.items():
            batches = self.one_hot(batch.batch_codes[observed.cells])
            features = self.coders[modality].encode(observed.rows, batches)
            for block, posterior in self.sources[modality](features).items():
                posteriors[modality, block] = posterior
        return posteriors

    def augment(self, batch: Batch) -> Batch:
        """Change measurements in training as biology may, all modalities of a cell in the same way."""
        draws = torch.rand(batch.n_cells, N_DRAWS, device=batch.cells.device)
        return batch.map_rows(lambda modality, o: self.coders[modality].augment(o.rows, draws[o.cells]))

    def draw(self, posterior: Posterior) -> Latent:
        """Draw in training; take the mean otherwise."""
        return posterior.sample() if self.training else posterior.mean

    def paths(self, modality: str) -> tuple[str, ...]:
        """Names of a modality's decoders."""
        return tuple(_path_widths(self.layout, modality))

    def decode(self, modality: str, path: str, latent: Latent, covariates: Covariates) -> Likelihood:
        """Distribution of a measurement given latents; ``"shared"`` is ``"full"`` where nothing is private."""
        path = path if path in self.paths(modality) else "full"
        return self.coders[modality].decode(path, latent, covariates)

    def forward(self, batch: Batch, *, from_codes: bool = False) -> "Outputs":
        """Latents of a batch, from its measurements or from its cells' codes, and a draw of them.

        Outside training the mean stands for the draw.
        """
        if from_codes:
            return self.outputs_of(batch, self.codes(batch.cells))
        posteriors = self.encode(batch)
        samples = {key: self.draw(posterior) for key, posterior in posteriors.items()}
        return Outputs(self, batch, posteriors, samples, self._is_mixed)

    def outputs_of(self, batch: Batch, of_cells: dict[str, Posterior]) -> "Outputs":
        """Outputs whose latents belong to cells: all modalities of a cell see the same draw."""
        draws = {block: self.draw(posterior) for block, posterior in of_cells.items()}
        keys = [(m, block) for m in batch.observed for block in self.layout.blocks_of(m)]
        posteriors = {(m, block): of_cells[block].take(batch.observed[m].cells) for m, block in keys}
        samples = {(m, block): draws[block][batch.observed[m].cells] for m, block in keys}
        return Outputs(self, batch, posteriors, samples, self._is_mixed)

    def infer(self, batch: Batch) -> dict[str, Posterior]:
        """What all measurements of a cell say together about each block; the prior where they say nothing."""
        posteriors = self.encode(batch)
        return {block: self.combine(batch, posteriors, block) for block in self.layout.names}

    def combine(self, batch: Batch, posteriors: dict[tuple[str, str], Posterior], block: str) -> Posterior:
        """Product of what all encoded modalities say about a block, for each cell of the batch."""
        present = [m for m in batch.observed if (m, block) in posteriors]
        if not present:
            prior = torch.zeros(batch.n_cells, self.layout[block].width, device=batch.cells.device)
            return Posterior(prior, prior)
        return product_of_experts(
            [posteriors[m, block] for m in present], [batch.observed[m].cells for m in present], batch.n_cells
        )

    @property
    def _is_mixed(self) -> bool:
        return torch.is_autocast_enabled(self.device.type)


def _path_widths(layout: LatentLayout, modality: str) -> dict[str, int]:
    widths = {"full": layout.width(layout.blocks_of(modality))}
    if layout.private_of(modality):
        widths["shared"] = layout.width(layout.shared_of(modality))
    return widths


@dataclass(frozen=True)
class Outputs:
    """A batch, what its measurements say about its latents, and a draw of them.

    Parameters
    ----------
    module
        Where they come from, and where latents are decoded.
    batch
        The cells.
    posteriors
        By modality and block, one row for each observed row.
    samples
        One draw from each posterior.
    is_mixed
        Whether networks run in mixed precision; what follows them does not.
    """

    module: LatentModule
    batch: Batch
    posteriors: dict[tuple[str, str], Posterior]
    samples: dict[tuple[str, str], Latent]
    is_mixed: bool = False

    @property
    def layout(self) -> LatentLayout:
        """The latent space."""
        return self.module.layout

    def coder(self, modality: str) -> Coder:
        """Networks of a modality."""
        return self.module.coders[modality]

    def n_features(self, modality: str) -> int:
        """Number of values in a cell's measurement."""
        return self.coder(modality).n_features

    def has_private(self, modality: str) -> bool:
        """Whether a modality has blocks that it sees alone."""
        return bool(self.layout.private_of(modality))

    def modalities_of(self, block: str) -> list[str]:
        """Modalities of the batch that see a block."""
        return [m for m in self.batch.observed if m in self.layout[block].modalities]

    def modality_pairs(self, block: str) -> Iterator[tuple[str, str]]:
        """Every two modalities of the batch that see a block, once."""
        present = self.modalities_of(block)
        for position, first in enumerate(present):
            for second in present[position + 1 :]:
                yield first, second

    def own_latent(self, modality: str, path: str) -> Latent:
        """Latent of a modality's rows as drawn from its own posterior."""
        blocks = self.layout.blocks_of(modality) if path == "full" else self.layout.shared_of(modality)
        return torch.cat([self.samples[modality, block] for block in blocks], dim=1)

    def foreign_latent(self, source: str, target: str, rows: Int[Tensor, " taken"]) -> Latent:
        """Latent for a target's shared-only decoder, from rows of another modality.

        Blocks that the source does not see are at the prior's mean.
        """
        parts = []
        for block in self.layout.shared_of(target):
            if (source, block) in self.samples:
                parts.append(self.samples[source, block][rows])
            else:
                width = self.layout[block].width
                parts.append(torch.zeros(len(rows), width, device=rows.device))
        return torch.cat(parts, dim=1)

    def rows_with_partner(self, modality: str) -> Int[Tensor, " rows"]:
        """Rows of a modality whose cell was measured in another modality too."""
        n_measured = self.batch.cells.new_zeros(self.batch.n_cells)
        for observed in self.batch.observed.values():
            n_measured = n_measured.index_add(0, observed.cells, torch.ones_like(observed.cells))
        return torch.nonzero(n_measured[self.batch.observed[modality].cells] > 1).flatten()

    def joint_posterior(self, block: str) -> Posterior:
        """Product of what all modalities say about each cell of the batch."""
        return self.module.combine(self.batch, self.posteriors, block)

    def code(self, modality: str, block: str) -> Posterior:
        """What training fitted to the cells of a modality's rows, whatever their measurements say."""
        if self.module.codes is None:
            raise ValueError("This model fits no codes to cells; a term that needs them cannot be used with it.")
        return self.module.codes(self.batch.cells)[block].take(self.batch.observed[modality].cells).detach()

    @property
    def n_features_mean(self) -> float:
        """Mean number of features of the model's modalities."""
        sizes = [coder.n_features for coder in self.module.coders.values()]
        return sum(sizes) / len(sizes)

    def weight(self, modality: str, balance: float) -> float:
        """Factor by which a modality's mean score per feature counts, between 1 and its share of the batch's values.

        With ``balance`` 1 modalities weigh alike, with 0 every measured value does.
        """
        share = self.n_features(modality) * len(self.batch.observed[modality]) / self.batch.n_cells
        return (share / self.n_features_mean) ** (1 - balance)

    def joint_latent(self, modality: str, rows: Int[Tensor, " taken"]) -> Latent:
        """Latent of some rows, with shared blocks drawn from the product of experts."""
        cells = self.batch.observed[modality].cells[rows]
        parts = []
        for block in self.layout.blocks_of(modality):
            if self.layout[block].is_private:
                parts.append(self.samples[modality, block][rows])
            else:
                parts.append(self.module.draw(self.joint_posterior(block).take(cells)))
        return torch.cat(parts, dim=1)

    def score(
        self, modality: str, path: str, latent: Latent, rows: Int[Tensor, " taken"] | None = None
    ) -> Float[Tensor, " rows"]:
        """Log-likelihood of observed rows, or of some in ascending order, given latents; unit: nats per feature."""
        observed, coder = self.batch.observed[modality], self.coder(modality)
        is_whole = rows is None or len(rows) == len(observed)
        measured = observed.rows if is_whole else observed.rows.take(rows)
        cells = observed.cells if is_whole else observed.cells[rows]
        batches = self.module.one_hot(self.batch.batch_codes[cells])
        with torch.autocast(latent.device.type, enabled=self.is_mixed):
            likelihood = self.module.decode(modality, path, latent, coder.covariates(measured, batches))
        return coder.log_likelihood(likelihood, measured) / coder.n_features
