"""Labels carried from one modality to the other by nearest neighbours."""

import numpy as np
import pandas as pd
from jaxtyping import Bool, Num

from cellprism.tl._matrices import Labels


def label_transfer(
    reference: Num[np.ndarray, "cells_in_reference width"],
    reference_labels: Labels,
    query: Num[np.ndarray, "cells_in_query width"],
    query_labels: Labels,
    *,
    k: int = 10,
) -> float:
    """Accuracy of the majority label among each query cell's k nearest reference cells.

    Cells whose label is missing (``None`` or NaN) are left out on both sides. Fewer than k reference cells
    all vote.

    Parameters
    ----------
    reference, query
        Embeddings in one space, usually of two modalities.
    reference_labels, query_labels
        One label per cell.
    k
        Number of nearest reference cells that vote.

    Returns
    -------
    Share of query cells that get their own label.

    Raises
    ------
    ValueError
        If a number of labels differs from the number of cells, no labelled cell is left on a side, or a
        labelled cell has no finite embedding.

    Examples
    --------
    >>> import numpy as np
    >>> reference = np.array([[0.0], [0.1], [5.0], [5.1]])
    >>> label_transfer(reference, ["a", "a", "b", "b"], np.array([[0.2], [4.9]]), ["a", "b"], k=2)
    1.0
    """
    from sklearn.neighbors import KNeighborsClassifier

    reference, reference_labels = _labelled("reference", reference, reference_labels)
    query, query_labels = _labelled("query", query, query_labels)
    classifier = KNeighborsClassifier(n_neighbors=min(k, len(reference)))
    classifier.fit(reference, reference_labels)
    return float(np.mean(classifier.predict(query) == query_labels))


def label_transfer_both_ways(
    x: Num[np.ndarray, "cells_in_x width"],
    x_labels: Labels,
    y: Num[np.ndarray, "cells_in_y width"],
    y_labels: Labels,
    *,
    reference: tuple[Bool[np.ndarray, " cells_in_x"], Bool[np.ndarray, " cells_in_y"]] | None = None,
    query: tuple[Bool[np.ndarray, " cells_in_x"], Bool[np.ndarray, " cells_in_y"]] | None = None,
    k: int = 10,
) -> pd.Series:
    """Accuracy of :func:`label_transfer` from x to y, from y to x, and the mean of both.

    Parameters
    ----------
    x, y
        Embeddings of two modalities in one space. Their cells may be the same or not.
    x_labels, y_labels
        One label per cell.
    reference
        Which cells of x and of y vote, usually the training cells. All by default.
    query
        Which cells of x and of y are scored, usually the held-out cells. All by default.
    k
        Number of nearest reference cells that vote.

    Returns
    -------
    Series with entries ``"x to y"``, ``"y to x"`` and ``"both"``.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[0.0], [0.1], [5.0], [5.1]])
    >>> label_transfer_both_ways(x, ["a", "a", "b", "b"], x[::3], ["a", "b"], k=1).to_dict()
    {'x to y': 1.0, 'y to x': 1.0, 'both': 1.0}
    """
    voting_x, voting_y = reference or (np.ones(len(x), dtype=bool), np.ones(len(y), dtype=bool))
    scored_x, scored_y = query or (np.ones(len(x), dtype=bool), np.ones(len(y), dtype=bool))
    x_labels, y_labels = np.asarray(x_labels, dtype=object), np.asarray(y_labels, dtype=object)
    forward = label_transfer(x[voting_x], x_labels[voting_x], y[scored_y], y_labels[scored_y], k=k)
    backward = label_transfer(y[voting_y], y_labels[voting_y], x[scored_x], x_labels[scored_x], k=k)
    return pd.Series({"x to y": forward, "y to x": backward, "both": (forward + backward) / 2})


def _labelled(side: str, embedding: np.ndarray, labels: Labels) -> tuple[np.ndarray, np.ndarray]:
    """Keep the cells that have a label, with their labels as text."""
    labels = np.asarray(labels, dtype=object)
    if len(labels) != len(embedding):
        raise ValueError(f"Found {len(labels)} {side} labels for {len(embedding)} cells, expected one per cell.")
    known = ~pd.isna(labels)
    if not known.any():
        raise ValueError(f"Found no labelled {side} cell among {len(labels)}, expected at least one.")
    if not np.isfinite(embedding[known]).all():
        raise ValueError(
            f"The {side} embedding has NaN or infinite values, expected finite ones. "
            "Drop the cells that have no embedding, with their labels."
        )
    return embedding[known], labels[known].astype(str)
