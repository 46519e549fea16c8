"""Chromatin accessibility: fragments or detections in peaks."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from cellprism.data import Matrix, Rows, map_stored, scale_columns, scale_rows, slot_path
from cellprism.modalities._base import Architecture
from cellprism.modalities._counts import check_any, check_counts
from cellprism.modalities._tabular import Tabular, TabularCoder, depth_of_rows
from cellprism.nn import Detection, Likelihood, Poisson, Shares


@dataclass(frozen=True)
class Peaks(Tabular):
    r"""Accessible peaks, as fragment counts or as 0 and 1.

    The encoder reads TF-IDF values, :math:`\log(1 + 10^4 \, x_j / \ell \cdot \log(1 + N / n_j))` with
    :math:`\ell` the cell's total and :math:`n_j` of the :math:`N` training cells open at peak :math:`j`; or
    binarised peaks. The decoder gives each peak's share of the cell's fragments; ``"bernoulli"`` scores whether
    at least one fragment was seen, :math:`P = 1 - e^{-\ell \rho}`, so that deep and shallow cells differ in depth
    and not in state; ``"poisson"`` scores the counts :cite:p:`martens2023`.

    Parameters
    ----------
    layer
        Layer that holds raw counts; ``.X`` by default.
    likelihood
        ``"bernoulli"`` or ``"poisson"``.
    transform
        ``"tfidf"`` or ``"binary"``: what the encoder reads.

    Raises
    ------
    ValueError
        On negative or fractional values, NaN or infinite values, or no counts at all.
    """

    layer: str | None = None
    likelihood: Literal["bernoulli", "poisson"] = "bernoulli"
    transform: Literal["tfidf", "binary"] = "tfidf"

    def __post_init__(self) -> None:
        if self.likelihood not in ("bernoulli", "poisson"):
            raise ValueError(f"Peaks has likelihood {self.likelihood!r}; expected 'bernoulli' or 'poisson'.")
        if self.transform not in ("tfidf", "binary"):
            raise ValueError(f"Peaks has transform {self.transform!r}; expected 'tfidf' or 'binary'.")

    def check(self, matrix: Matrix, path: str) -> None:
        """Refuse what is not counts."""
        check_counts(matrix, path, "Peaks")

    def check_together(self, rows: Rows, accessor: str) -> None:
        """Refuse cells that are all without counts."""
        check_any(rows, slot_path(accessor, self.layer))

    def coder(
        self, shape: tuple[int, ...], widths: dict[str, int], n_batches: int, architecture: Architecture
    ) -> "PeaksCoder":
        """Build the networks."""
        return PeaksCoder(self, shape[0], widths, n_batches, architecture)


def binarise(values: Tensor) -> Tensor:
    """One where anything was counted."""
    return (values > 0).to(torch.float32)


class PeaksCoder(TabularCoder):
    """Networks for :class:`Peaks`."""

    def __init__(
        self, peaks: Peaks, n_features: int, widths: dict[str, int], n_batches: int, architecture: Architecture
    ) -> None:
        super().__init__(n_features, widths, n_batches, architecture)
        self.counts_fragments = peaks.likelihood == "poisson"
        self.reads_tfidf = peaks.transform == "tfidf"
        self.register_buffer("inverse_document_frequency", torch.ones(n_features))

    def fit_kind(self, rows: Rows) -> None:
        """Keep each peak's frequency, and in how many cells it is open."""
        counts = self.scored(rows).column_sums() + 0.5
        self.baseline.copy_((counts / counts.sum()).log())
        n_open = map_stored(rows, binarise).column_sums().clamp(min=1)
        self.inverse_document_frequency.copy_(torch.log1p(len(rows) / n_open))

    def scored(self, rows: Rows) -> Rows:
        """Give counts, or 0 and 1."""
        return rows if self.counts_fragments else map_stored(rows, binarise)

    def transform(self, rows: Rows) -> Rows:
        """TF-IDF, or 0 and 1."""
        if not self.reads_tfidf:
            return map_stored(rows, binarise)
        frequency = scale_rows(rows, 1e4 / depth_of_rows(rows))
        return map_stored(scale_columns(frequency, self.inverse_document_frequency), torch.log1p)

    def depth(self, rows: Rows) -> Float[Tensor, " rows"]:
        """Fragments, or open peaks, of each cell; at least 1."""
        return depth_of_rows(self.scored(rows))

    def likelihood(self, outputs: Float[Tensor, "rows outputs"], depth: Float[Tensor, " rows"]) -> Likelihood:
        """Shares of the fragments, as counts or detections."""
        expected = Shares(outputs, depth)
        return Poisson(expected) if self.counts_fragments else Detection(expected)
