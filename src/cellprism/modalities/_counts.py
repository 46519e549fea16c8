"""Counts of molecules: RNA, or antibody tags."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from cellprism.data import DenseRows, Matrix, Rows, SparseRows, map_stored, scale_rows, slot_path, stored_values
from cellprism.modalities._base import Architecture
from cellprism.modalities._tabular import Tabular, TabularCoder, depth_of_rows
from cellprism.nn import Likelihood, NegativeBinomial, Poisson, Shares, ZeroInflatedNegativeBinomial


def check_counts(matrix: Matrix, path: str, kind: str) -> None:
    """Refuse negative and fractional values."""
    values = stored_values(matrix)
    if values.size and values.min() < 0:
        raise ValueError(
            f"{path} has negative values (min {values.min():.3g}); {kind} needs raw counts. "
            "Pass layer=... or use Features for continuous data."
        )
    if values.dtype.kind != "f":
        return
    fractional = values != np.rint(values)
    if fractional.any():
        raise ValueError(
            f"{path} has values that are not integers (such as {values[fractional].flat[0]:.4g}); {kind} needs raw "
            "counts. Pass layer=... or use Features for continuous data."
        )


def check_any(rows: SparseRows | DenseRows, path: str) -> None:
    """Refuse cells that are all without counts."""
    if not rows.values.any():
        raise ValueError(f"{path} holds no counts: every value is 0. Drop this modality or pass layer=...")


@dataclass(frozen=True)
class Counts(Tabular):
    r"""Molecule counts, such as RNA or antibody tags.

    The encoder reads :math:`\log(1 + x \cdot \bar\ell / \ell)` with :math:`\ell` the cell's total count and
    :math:`\bar\ell` the median total of the training cells. The decoder gives the share :math:`\rho` of each
    feature, :math:`\sum \rho = 1`, and :math:`\mu = \ell \rho` with the total as observed (at least 1, so that a
    cell without counts is no special case) :cite:p:`lopez2018`.

    Parameters
    ----------
    layer
        Layer that holds raw counts; ``.X`` by default.
    likelihood
        ``"nb"`` (negative binomial, one dispersion per feature), ``"zinb"`` (zero-inflated) or ``"poisson"``.

    Raises
    ------
    ValueError
        On negative or fractional values, NaN or infinite values, or no counts at all.

    Examples
    --------
    >>> Counts(layer="counts", likelihood="poisson")
    Counts(layer='counts', likelihood='poisson')
    """

    layer: str | None = None
    likelihood: Literal["nb", "zinb", "poisson"] = "nb"

    def __post_init__(self) -> None:
        if self.likelihood not in ("nb", "zinb", "poisson"):
            raise ValueError(f"Counts has likelihood {self.likelihood!r}; expected 'nb', 'zinb' or 'poisson'.")

    def check(self, matrix: Matrix, path: str) -> None:
        """Refuse what is not counts."""
        check_counts(matrix, path, "Counts")

    def check_together(self, rows: Rows, accessor: str) -> None:
        """Refuse cells that are all without counts."""
        check_any(rows, slot_path(accessor, self.layer))

    def coder(
        self, shape: tuple[int, ...], widths: dict[str, int], n_batches: int, architecture: Architecture
    ) -> "CountsCoder":
        """Build the networks."""
        return CountsCoder(self.likelihood, shape[0], widths, n_batches, architecture)


class CountsCoder(TabularCoder):
    """Networks for :class:`Counts`."""

    def __init__(
        self,
        likelihood: str,
        n_features: int,
        widths: dict[str, int],
        n_batches: int,
        architecture: Architecture,
    ) -> None:
        n_outputs = 2 if likelihood == "zinb" else 1
        super().__init__(n_features, widths, n_batches, architecture, n_outputs=n_outputs)
        self.kind = likelihood
        self.register_buffer("median_depth", torch.ones(()))
        self.log_inverse_dispersion = nn.Parameter(torch.zeros(n_features))

    def fit_kind(self, rows: Rows) -> None:
        """Keep the median total, and how frequent each feature is, from which the decoder starts."""
        totals = rows.sums()
        self.median_depth.copy_(totals[totals > 0].median())
        counts = rows.column_sums() + 0.5
        self.baseline[: self.n_features] = (counts / counts.sum()).log()

    def transform(self, rows: Rows) -> Rows:
        """Scale to the median total and take log(1 + x)."""
        return map_stored(scale_rows(rows, self.median_depth / depth_of_rows(rows)), torch.log1p)

    def depth(self, rows: Rows) -> Float[Tensor, " rows"]:
        """Total count of each cell, at least 1."""
        return depth_of_rows(rows)

    def likelihood(self, outputs: Float[Tensor, "rows outputs"], depth: Float[Tensor, " rows"]) -> Likelihood:
        """Shares of the total, as counts."""
        share, *rest = outputs.split(self.n_features, dim=1)
        expected = Shares(share, depth)
        if self.kind == "poisson":
            return Poisson(expected)
        counts = NegativeBinomial(expected, self.log_inverse_dispersion)
        return ZeroInflatedNegativeBinomial(counts, rest[0]) if rest else counts
