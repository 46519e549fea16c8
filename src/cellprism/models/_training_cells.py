"""What a model remembers of its training cells once it is trained: typical latents, and how depth follows from them."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.linear_model import Ridge

from cellprism.data import CellLoader
from cellprism.models._query import Query

if TYPE_CHECKING:
    from cellprism.data import CellDataset
    from cellprism.models._base import LatentModel

BATCH_SIZE = 512


def remember(model: "LatentModel", dataset: "CellDataset", training: np.ndarray) -> None:
    """Keep mean and spread of each modality's latents, for ``fill``, and fit the expected depths."""
    for modality in model.registration.modalities:
        cells = training[dataset.is_observed(modality)[training]]
        own = [_latents(model, dataset, cells, modality, block) for block in model.layout.blocks_of(modality)]
        model.module.sources[modality].set_typical(torch.from_numpy(np.concatenate(own, axis=1)))
        _fit_depth(model, dataset, training, modality, cells)


def _fit_depth(
    model: "LatentModel", dataset: "CellDataset", training: np.ndarray, modality: str, cells: np.ndarray
) -> None:
    """Regress log depth on the shared latent, as the modality itself tells it and as others do.

    Another modality tells of the same cell where it was measured, else of a cell with the same label.
    """
    log_depth = np.log(_depth(model, dataset, modality, cells))
    inputs, outputs = [], []
    for source in model.registration.modalities:
        partner = cells if source == modality else _partners(dataset, cells, training, source, model.seed_)
        known = partner >= 0
        if known.any() and model.layout.common(source, modality):
            inputs.append(_depth_inputs(model, dataset, partner[known], cells[known], source, modality))
            outputs.append(log_depth[known])
    fitted = Ridge().fit(np.concatenate(inputs), np.concatenate(outputs))
    low, high = np.quantile(log_depth, (0.01, 0.99))
    slopes = torch.from_numpy(np.asarray(fitted.coef_, dtype=np.float32))
    model.module.expected_depths[modality].set(float(fitted.intercept_), slopes, float(low), float(high))


def _depth(model: "LatentModel", dataset: "CellDataset", modality: str, cells: np.ndarray) -> np.ndarray:
    batches = (b.to(model.module.device) for b in CellLoader(dataset.only([modality]), cells, batch_size=BATCH_SIZE))
    coder = model.module.coders[modality]
    return np.concatenate([coder.depth(batch.observed[modality].rows).cpu().numpy() for batch in batches])


def _depth_inputs(
    model: "LatentModel", dataset: "CellDataset", told_by: np.ndarray, cells: np.ndarray, source: str, target: str
) -> np.ndarray:
    shared = [_latents(model, dataset, told_by, source, block) for block in model.layout.shared_of(target)]
    batches = model.module.one_hot(dataset.batch_codes[cells].to(model.module.device)).cpu().numpy()
    return np.concatenate([*shared, batches], axis=1)


def _latents(model: "LatentModel", dataset: "CellDataset", cells: np.ndarray, source: str, block: str) -> np.ndarray:
    """Posterior means; the prior's where the source does not see the block."""
    if source not in model.layout[block].modalities:
        return np.zeros((len(cells), model.layout[block].width), dtype=np.float32)
    return model._latents(Query(model._adata, dataset, cells, BATCH_SIZE), block, (source,))[0]


def _partners(dataset: "CellDataset", cells: np.ndarray, training: np.ndarray, source: str, seed: int) -> np.ndarray:
    """The cell itself where it was measured in the source, else a random training cell with its label, else -1."""
    has_source = dataset.is_observed(source)
    labels = dataset.labels.cpu().numpy()
    partner = np.where(has_source[cells], cells, -1)
    rng = np.random.default_rng(seed)
    for label in np.unique(labels[labels >= 0]):
        pool = training[has_source[training] & (labels[training] == label)]
        open_ = np.flatnonzero((partner < 0) & (labels[cells] == label))
        if len(pool):
            partner[open_] = rng.choice(pool, len(open_))
    return partner
