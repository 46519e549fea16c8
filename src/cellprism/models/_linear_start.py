"""Codes to start from: components of each modality, and what they have in common, by linear algebra."""

from typing import TYPE_CHECKING

import numpy as np

from cellprism.latents import Block
from cellprism.models._components import components, without

if TYPE_CHECKING:
    from cellprism.data import CellDataset
    from cellprism.module import LatentModule

LEAST_CELLS = 20
"""Below so many paired cells nothing can be said about what they share."""
STANDARD_ERRORS = 4.0
"""How far from zero a correlation in cells left out must be."""
LEAST_SHARE = 0.5
"""Of an even part in the direction that modalities have in common, for each to take part in it."""
NOISE = 0.001


def linear_start(
    module: "LatentModule", dataset: "CellDataset", training: np.ndarray, seed: int
) -> dict[str, np.ndarray]:
    r"""Codes of all cells from a linear fit to the training cells.

    Each modality is reduced to principal components, without what its experimental batches explain. A block that
    several modalities see starts from the directions in which their components agree (generalised canonical
    correlation, the sum of squared correlations with a common direction being largest :cite:p:`kettenring1971`), so
    far as every two agree in cells left out of the fit. What it explains is taken out; a private block starts from the
    components that remain. Dimensions that the data do not call for start near zero.

    Parameters
    ----------
    module
        Whose coders say on what scale differences count.
    dataset
        All cells.
    training
        Rows of the cells to fit.
    seed
        Fixes how cells are parted, and the noise.

    Returns
    -------
    By block, codes (all cells, width) with about unit variance where a dimension is used.
    """
    random = np.random.default_rng(seed)
    scores = {name: components(module, dataset, training, name) for name in module.coders}
    codes = {}
    for block in sorted(module.layout.blocks, key=lambda block: -len(block.modalities)):
        seen = {name: scores[name] for name in block.modalities}
        found = directions(seen, training, block, random)
        code = NOISE * random.standard_normal((len(dataset), block.width))
        code[:, : found.shape[1]] = np.nan_to_num(found)
        codes[block.name] = code.astype(np.float32)
        for name, own in seen.items():
            scores[name] = without(own, found, training)
    return codes


def directions(
    scores: dict[str, np.ndarray],
    training: np.ndarray,
    block: Block,
    random: np.random.Generator,
) -> np.ndarray:
    """Latents of a block for all cells (cells, at most its width), strongest first; NaN where nothing is known."""
    if block.is_private:
        own = next(iter(scores.values()))
        return standardised(above_noise(own, training)[:, : block.width], training)
    whitened = {name: white(own, training) for name, own in scores.items()}
    together = np.concatenate(list(whitened.values()), axis=1)
    paired = training[np.isfinite(together[training]).all(1)]
    if len(paired) < LEAST_CELLS or not all(own.shape[1] for own in whitened.values()):
        return together[:, :0]
    shuffled = random.permutation(paired)
    halves = shuffled[: len(paired) // 2], shuffled[len(paired) // 2 :]
    held_out = agreement(variates(whitened, halves[0], block.width), halves[1])
    n_kept = int((held_out > STANDARD_ERRORS / np.sqrt(len(halves[1]))).sum())
    common = np.nanmean(np.stack(variates(whitened, paired, n_kept)), axis=0) if n_kept else together[:, :0]
    return standardised(rotated(standardised(common, training), scores, training), training)


def variates(whitened: dict[str, np.ndarray], cells: np.ndarray, width: int) -> list[np.ndarray]:
    """What each modality says about the directions that all agree on, for all cells, fitted to some."""
    together = np.concatenate([own[cells] for own in whitened.values()], axis=1)
    left, _, _ = np.linalg.svd(together - together.mean(0), full_matrices=False)
    target = left[:, :width] * np.sqrt(len(cells))
    return [own @ np.linalg.lstsq(own[cells], target, rcond=None)[0] for own in whitened.values()]


def agreement(variates: list[np.ndarray], cells: np.ndarray) -> np.ndarray:
    """Least correlation of any two modalities, by direction, over some cells; 0 where one hardly takes part."""
    spread = np.stack([v[cells].std(0) for v in variates])
    standard = [(v[cells] - v[cells].mean(0)) / s.clip(min=1e-9) for v, s in zip(variates, spread, strict=True)]
    pairs = [(a * b).mean(0) for i, a in enumerate(standard) for b in standard[i + 1 :]]
    takes_part = np.square(spread).min(0) > LEAST_SHARE / len(variates)
    return np.min(pairs, axis=0) * takes_part


def above_noise(scores: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Principal components of scores, those whose variance noise alone could have left out."""
    known = scores[training][np.isfinite(scores[training]).all(1)]
    variance, axes = np.linalg.eigh(known.T @ known / max(1, len(known)))
    return scores @ axes[:, ::-1][:, variance[::-1] > 1]


def rotated(latents: np.ndarray, scores: dict[str, np.ndarray], training: np.ndarray) -> np.ndarray:
    """Turn latents so that the first explain most of the modalities' components."""
    explained = np.zeros((latents.shape[1],) * 2)
    for own in scores.values():
        known = training[np.isfinite(own[training]).all(1) & np.isfinite(latents[training]).all(1)]
        slopes = np.linalg.lstsq(latents[known], own[known], rcond=None)[0]
        explained += slopes @ slopes.T / max(np.square(own[known]).sum() / max(1, len(known)), 1e-12)
    _, axes = np.linalg.eigh(explained)
    return latents @ axes[:, ::-1]


def white(scores: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Uncorrelated columns of unit variance over the training cells; directions without variance are left out."""
    known = scores[training][np.isfinite(scores[training]).all(1)]
    _, spread, axes = np.linalg.svd(known - known.mean(0), full_matrices=False)
    kept = spread > 1e-4 * max(spread.max(initial=0.0), 1e-12)
    return (scores - known.mean(0)) @ (axes[kept].T / (spread[kept] / np.sqrt(len(known))))


def standardised(latents: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Mean 0 and variance 1 over the training cells; columns that do not vary are left out."""
    known = latents[training][np.isfinite(latents[training]).all(1)]
    spread = known.std(0)
    kept = spread > 1e-6 * max(spread.max(initial=0.0), 1e-12)
    return ((latents - known.mean(0)) / spread.clip(min=1e-12))[:, kept]
