"""How well two modalities agree in the shared block, beside CCA and class probabilities."""

from collections.abc import Iterator

import mudata
import numpy as np
import pandas as pd
from anndata import AnnData

from cellprism import tl
from cellprism._keys import X_SHARED
from cellprism.cli._comparison import MODEL, N_NEIGHBOURS, Comparison
from cellprism.cli._scale import Measured

N_CANONICAL = 10
LABEL = "label"


def alignment_table(comparison: Comparison) -> pd.DataFrame:
    """Score the model's embedding and the baselines', held-out cells first."""
    scores = {}
    for method, embeddings in _embeddings(comparison):
        labels_key = None if comparison.cells.labels is None else LABEL
        scores[method] = tl.alignment(
            _light_mudata(comparison, embeddings),
            comparison.first,
            comparison.second,
            labels_key=labels_key,
            held_out=comparison.cells.held_out,
            k=N_NEIGHBOURS,
        )
    rows = [scores[method].loc["held_out"].rename((method, "held out")) for method in scores]
    rows.append(scores[MODEL].loc["training"].rename((MODEL, "training cells")))
    table = pd.DataFrame(rows).drop(columns="n_pairs")
    table.index = pd.MultiIndex.from_tuples(table.index, names=["method", "cells"])
    table.columns = [
        column.replace("foscttm", "FOSCTTM")
        .replace("partner_recall", f"partner recall at {N_NEIGHBOURS}")
        .replace("label_transfer", "labels")
        for column in table.columns
    ]
    return table.dropna(axis=1, how="all")


def _embeddings(comparison: Comparison) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Give methods with an embedding of all cells of each modality."""
    x, y, cells = comparison.x, comparison.y, comparison.cells
    names = (comparison.first, comparison.second)
    yield MODEL, {name: np.asarray(cells.mdata.mod[name].obsm[X_SHARED]) for name in names}
    if comparison.has_training_pairs:
        pairs = comparison.pairs(cells.training)
        variates = tl.baselines.cca_embedding(
            x.telling(pairs), y.telling(pairs), x.telling(x.cells), y.telling(y.cells), n_canonical=N_CANONICAL
        )
        yield "CCA (pairs)", dict(zip(names, (variates.source_held_out, variates.target_held_out), strict=True))
    classes = [comparison.classes_of(modality.cells.intersection(cells.training)) for modality in (x, y)]
    if len(classes[0]) > 1 and classes[0] == classes[1]:
        yield (
            "class probabilities (labels)",
            {name: _class_probabilities(comparison, each) for name, each in zip(names, (x, y), strict=True)},
        )


def _class_probabilities(comparison: Comparison, modality: Measured) -> np.ndarray:
    training = modality.cells.intersection(comparison.cells.training, sort=False)
    fitted = tl.baselines.class_probabilities(
        modality.telling(training), comparison.labels_of(training), modality.telling(modality.cells)
    )
    return fitted.held_out


def _light_mudata(comparison: Comparison, embeddings: dict[str, np.ndarray]) -> mudata.MuData:
    """Embeddings and labels alone, so that nothing is written into the user's object."""
    parts = {}
    for name, embedding in embeddings.items():
        names = comparison.cells.mdata.mod[name].obs_names
        obs = pd.DataFrame(index=names)
        if comparison.cells.labels is not None:
            obs[LABEL] = comparison.labels_of(names)
        parts[name] = AnnData(obs=obs, obsm={X_SHARED: embedding})
    return mudata.MuData(parts)
