"""The same step as anyone would write it: dense batches, dense layers, all values scored, AdamW as it comes."""

from collections.abc import Iterator

import mudata
import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional as F


class PlainModel(nn.Module):
    """Two encoders whose means are averaged, and two decoders."""

    def __init__(self, widths: dict[str, int], n_hidden: int, n_latent: int) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict(
            {name: nn.Sequential(nn.Linear(width, n_hidden), *block(n_hidden)) for name, width in widths.items()}
        )
        self.posterior = nn.ModuleDict({name: nn.Linear(n_hidden, 2 * n_latent) for name in widths})
        self.decoders = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Linear(n_latent, n_hidden), *block(n_hidden), nn.Linear(n_hidden, width))
                for name, width in widths.items()
            }
        )
        self.log_theta = nn.Parameter(torch.zeros(widths["rna"]))

    def forward(self, rna: Tensor, atac: Tensor) -> Tensor:
        both = [self.posterior[m](self.encoders[m](torch.log1p(x))) for m, x in (("rna", rna), ("atac", atac))]
        mean, log_scale = torch.stack(both).mean(0).chunk(2, dim=1)
        latent = mean + log_scale.exp() * torch.randn_like(mean)
        divergence = 0.5 * (mean**2 + (2 * log_scale).exp() - 1 - 2 * log_scale).sum(1).mean()
        log_mu = torch.log_softmax(self.decoders["rna"](latent), dim=1) + rna.sum(1, keepdim=True).log()
        return divergence + self.rna_loss(rna, log_mu) + self.atac_loss(atac, self.decoders["atac"](latent))

    def rna_loss(self, counts: Tensor, log_mu: Tensor) -> Tensor:
        theta = self.log_theta.exp()
        log_total = torch.log(theta + log_mu.exp())
        coefficient = torch.lgamma(counts + theta) - torch.lgamma(theta) - torch.lgamma(counts + 1)
        return -(coefficient + theta * (self.log_theta - log_total) + counts * (log_mu - log_total)).sum(1).mean()

    def atac_loss(self, detected: Tensor, logits: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, (detected > 0).float(), reduction="none").sum(1).mean()


def block(width: int) -> tuple[nn.Module, ...]:
    return nn.LayerNorm(width), nn.GELU(), nn.Dropout(0.1)


def make_plain(mdata: mudata.MuData) -> tuple[PlainModel, dict[str, sparse.csr_matrix]]:
    matrices = {name: mdata[name].X for name in ("rna", "atac")}
    return PlainModel({name: matrix.shape[1] for name, matrix in matrices.items()}, 141, 32), matrices


def fit_plain(made: tuple[PlainModel, dict[str, sparse.csr_matrix]], n_epochs: int) -> None:
    model, matrices = made
    optimiser = torch.optim.AdamW(model.parameters(), 2e-3)
    for rows in batches(matrices["rna"].shape[0], n_epochs):
        optimiser.zero_grad()
        model(*(torch.from_numpy(matrices[name][rows].toarray()) for name in ("rna", "atac"))).backward()
        optimiser.step()


def batches(n_cells: int, n_epochs: int) -> Iterator[np.ndarray]:
    for _ in range(n_epochs):
        yield from np.array_split(np.random.permutation(n_cells), -(-n_cells // 128))
