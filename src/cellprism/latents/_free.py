"""Latents that belong to cells: a table with a row for each, which training moves without any encoder."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from cellprism.latents._layout import LatentLayout
from cellprism.latents._posterior import Posterior
from cellprism.nn import NamedModules


class FreeLatents(nn.Module):
    r"""A code for every cell and block, with normal noise around it :cite:p:`zhang2026`.

    .. math:: q(z_{b,i}) = N(c_{b,i}, \mathrm{diag}(s_b^2)), \qquad s_b \le 1

    The codes *c* are parameters; the scales *s* are learnt for each dimension, so that one that carries nothing comes
    to rest at the prior :math:`N(0, 1)`, where :meth:`rest` then fixes it. Gradients are sparse: a step touches the
    rows of its batch alone, and costs the same whatever the number of cells.

    Parameters
    ----------
    n_cells
        Number of cells.
    layout
        The latent space.
    noise
        Fix the scale of the noise instead of learning it; the paper has 1.
    """

    def __init__(self, n_cells: int, layout: LatentLayout, noise: float | None = None) -> None:
        super().__init__()
        self.widths = {block.name: block.width for block in layout.blocks}
        self.tables = NamedModules({name: _table(n_cells, width) for name, width in self.widths.items()})
        self.register_buffer("is_fitted", torch.zeros(n_cells, dtype=torch.bool))
        self.register_buffer("is_used", torch.ones(sum(self.widths.values()), dtype=torch.bool))
        self.noise = noise
        self.raw_scale = nn.Parameter(torch.full((sum(self.widths.values()),), -1.0), requires_grad=noise is None)

    def __len__(self) -> int:
        return len(self.is_fitted)

    def used(self) -> dict[str, Bool[Tensor, " width"]]:
        """Whether each dimension carries anything, by block."""
        return dict(zip(self.widths, self.is_used.split(list(self.widths.values())), strict=True))

    def log_scales(self) -> dict[str, Float[Tensor, " width"]]:
        """Logarithms of the scales of the noise, by block; at most 0 where they are learnt."""
        if self.noise is not None:
            scales = torch.full_like(self.raw_scale, self.noise).log()
        else:
            scales = -F.softplus(self.raw_scale).clamp(max=7.0) * self.is_used
        return dict(zip(self.widths, scales.split(list(self.widths.values())), strict=True))

    def forward(self, cells: Int[Tensor, " cells"]) -> dict[str, Posterior]:
        """Give what is believed about some cells, by block."""
        scales, used = self.log_scales(), self.used()
        means = {name: table(cells) * used[name] for name, table in self.tables.items()}
        return {name: Posterior(mean, scales[name].expand_as(mean)) for name, mean in means.items()}

    @torch.no_grad()
    def rest(self, cells: dict[str, Int[Tensor, " cells"]], least_nats: float) -> None:
        """Put dimensions to rest at the prior that tell less than this of their block's cells, in the mean."""
        parts = [(self.nats(name, cells[name]) >= least_nats) for name in self.widths]
        self.is_used.copy_(torch.cat(parts))

    @torch.no_grad()
    def nats(self, block: str, cells: Int[Tensor, " cells"]) -> Float[Tensor, " width"]:
        r"""Mean :math:`KL(q(z) \,\|\, N(0, 1))` of each dimension of a block over some cells."""
        code = self(cells)[block]
        return 0.5 * (code.mean.square() + torch.exp(2 * code.log_scale) - 1 - 2 * code.log_scale).mean(0)

    @torch.no_grad()
    def set(self, cells: Int[Tensor, " cells"], codes: dict[str, Float[Tensor, "cells width"]]) -> None:
        """Write the codes of some cells."""
        for name, values in codes.items():
            self.tables[name].weight[cells] = values.to(self.tables[name].weight)

    @torch.no_grad()
    def reorder(self, rows: Int[Tensor, " cells"]) -> None:
        """Make row *i* what row ``rows[i]`` was; -1 gives a cell without a code."""
        known, taken = rows >= 0, rows.clamp(min=0)
        for name, table in self.tables.items():
            codes = table.weight[taken] * known[:, None]
            self.tables.list[self.tables.names.index(name)] = _table(len(rows), self.widths[name], codes)
        self.is_fitted = self.is_fitted[taken] & known

    def part(self, cells: Int[Tensor, " cells"]) -> "FreeLatents":
        """Copy the codes of some cells alone, which keep their numbers; the scales are the same parameter."""
        return SomeFreeLatents(self, cells)


class SomeFreeLatents(FreeLatents):
    """Codes of some of many cells, known by their numbers among all.

    Parameters
    ----------
    whole
        The codes of all cells.
    cells
        Whose codes to hold.
    """

    def __init__(self, whole: FreeLatents, cells: Int[Tensor, " cells"]) -> None:
        nn.Module.__init__(self)
        self.widths, self.noise, self.raw_scale, self.cells = whole.widths, whole.noise, whole.raw_scale, cells
        codes = {name: table.weight.detach()[cells] for name, table in whole.tables.items()}
        self.tables = NamedModules({name: _table(*code.shape, code) for name, code in codes.items()})
        self.register_buffer("is_fitted", whole.is_fitted[cells])
        self.register_buffer("is_used", whole.is_used.clone())
        self.register_buffer(
            "row_of_cell", torch.full((len(whole),), -1).index_copy(0, cells, torch.arange(len(cells)))
        )

    def forward(self, cells: Int[Tensor, " cells"]) -> dict[str, Posterior]:
        """Give what is believed about some cells, by block."""
        return super().forward(self.row_of_cell[cells])

    def set(self, cells: Int[Tensor, " cells"], codes: dict[str, Float[Tensor, "cells width"]]) -> None:
        """Write the codes of some cells."""
        super().set(self.row_of_cell[cells], codes)


def _table(n_cells: int, width: int, codes: Float[Tensor, "cells width"] | None = None) -> nn.Embedding:
    return nn.Embedding(
        n_cells, width, sparse=True, _weight=torch.zeros(n_cells, width) if codes is None else codes.contiguous()
    )
