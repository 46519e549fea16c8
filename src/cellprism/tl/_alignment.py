"""How well two modalities of a MuData agree in a shared embedding."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cellprism._keys import X_SHARED
from cellprism.tl._foscttm import foscttm
from cellprism.tl._label_transfer import label_transfer
from cellprism.tl._partner_recall import partner_recall
from cellprism.tl._slots import chosen_cells, embedding_frame, label_series

if TYPE_CHECKING:
    import mudata


def alignment(
    mdata: "mudata.MuData",
    source: str,
    target: str,
    *,
    key: str = X_SHARED,
    labels_key: str | None = None,
    held_out: Sequence[str] | np.ndarray | pd.Series | pd.Index | None = None,
    k: int = 10,
) -> pd.DataFrame:
    """Score the alignment of two modalities, on held-out cells first and on training cells.

    Cells are matched by name, so their order within a modality does not matter. Cells without an embedding
    (NaN) are left out.

    Parameters
    ----------
    mdata
        Holds ``mdata[modality].obsm[key]`` of both modalities.
    source, target
        Names of the modalities.
    key
        ``.obsm`` key of the embedding, as inferred from each modality alone.
    labels_key
        Column of labels, in each modality's ``.obs`` or in ``mdata.obs``. Adds the label transfer columns.
    held_out
        Cells that were not trained on: a boolean mask over ``mdata.obs_names``, or names. Without it there is
        one row, ``all``.
    k
        Number of neighbours for recall and for label transfer.

    Returns
    -------
    DataFrame with rows ``held_out`` and ``training`` (or ``all``).

    - ``foscttm``: :func:`foscttm` among the row's cells that both modalities hold; NaN for fewer than 2 such
      cells.
    - ``partner_recall``: :func:`partner_recall` among the same cells.
    - ``label_transfer <source> to <target>``: accuracy for the row's target cells, by the training cells of
      the source; and the other way round.
    - ``label_transfer both``: mean of the two.
    - ``n_pairs``: cells that both modalities hold. Chance is 0.5 for ``foscttm``, k / n_pairs for recall.

    Notes
    -----
    In the row ``training`` a cell's own partner votes for its label, so label transfer is optimistic there.

    Raises
    ------
    KeyError
        If a modality, the embedding or the labels are not found.
    ValueError
        If ``held_out`` does not fit the cells, or leaves no cell to train on.
    """
    labels = None
    if labels_key is not None:
        labels = {modality: label_series(mdata, modality, labels_key) for modality in (source, target)}
    embeddings = {modality: embedding_frame(mdata, modality, key) for modality in (source, target)}
    comparison = _Comparison(source, target, embeddings, labels, k)
    if held_out is None:
        return pd.DataFrame({"all": comparison.score(mdata.obs_names, mdata.obs_names)}).T.astype({"n_pairs": int})
    hidden = chosen_cells(mdata, held_out)
    seen = mdata.obs_names.difference(hidden, sort=False)
    if not (len(hidden) and len(seen)):
        raise ValueError(
            f"Found {len(hidden)} held-out and {len(seen)} other cells, expected at least one of each. "
            "Leave out held_out to score all cells in one row."
        )
    rows = {"held_out": comparison.score(hidden, seen), "training": comparison.score(seen, seen)}
    return pd.DataFrame(rows).T.astype({"n_pairs": int})


@dataclass(frozen=True)
class _Comparison:
    """Two modalities' embeddings and labels by cell name."""

    source: str
    target: str
    embeddings: dict[str, pd.DataFrame]
    labels: dict[str, pd.Series] | None
    k: int

    def score(self, query: pd.Index, reference: pd.Index) -> dict[str, float]:
        """Score the query cells; the reference cells vote on labels."""
        scores = self._pairs(query)
        if self.labels is not None:
            forward = self._transfer(self.source, self.target, query, reference)
            backward = self._transfer(self.target, self.source, query, reference)
            scores[f"label_transfer {self.source} to {self.target}"] = forward
            scores[f"label_transfer {self.target} to {self.source}"] = backward
            scores["label_transfer both"] = (forward + backward) / 2
        return {**scores, "n_pairs": len(self._paired(query))}

    def _paired(self, cells: pd.Index) -> pd.Index:
        in_source = cells.intersection(self.embeddings[self.source].index, sort=False)
        return in_source.intersection(self.embeddings[self.target].index, sort=False)

    def _pairs(self, cells: pd.Index) -> dict[str, float]:
        paired = self._paired(cells)
        if len(paired) < 2:
            return {"foscttm": np.nan, "partner_recall": np.nan}
        x = self.embeddings[self.source].loc[paired].to_numpy()
        y = self.embeddings[self.target].loc[paired].to_numpy()
        return {"foscttm": foscttm(x, y), "partner_recall": partner_recall(x, y, k=self.k)}

    def _transfer(self, voting: str, scored: str, query: pd.Index, reference: pd.Index) -> float:
        """Accuracy for the query cells of one modality; NaN where a side has no labelled cells."""
        sides = []
        for modality, cells in ((voting, reference), (scored, query)):
            labels = self.labels[modality].dropna()
            names = cells.intersection(self.embeddings[modality].index, sort=False)
            names = names.intersection(labels.index, sort=False)
            if not len(names):
                return float("nan")
            sides += [self.embeddings[modality].loc[names].to_numpy(), labels.loc[names].to_numpy()]
        return label_transfer(*sides, k=self.k)
