"""Components of one modality that stand out of its noise."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.utils.extmath import randomized_svd

if TYPE_CHECKING:
    from cellprism.data import CellDataset
    from cellprism.module import LatentModule

N_COMPONENTS = 50
MOST_VALUES = 10**8
"""Of the table to which components are fitted."""
CHUNK = 2_000
N_ROUNDS = 5
"""More would let single features take components for themselves (Heywood cases of factor analysis)."""
LEAST_NOISE = 0.05
"""Of a feature's own standard deviation: what is exact must not outweigh all else."""
LEAST_OF_MEDIAN = 0.5
"""Of the median noise: nor must what is hardly ever seen, such as a peak open in two cells."""


def components(module: "LatentModule", dataset: "CellDataset", training: np.ndarray, modality: str) -> np.ndarray:
    r"""Principal components of one modality for all cells, experimental batches taken out.

    Features are divided by their noise, which is what the components leave of them, until the number of components
    no longer changes. Noise alone would reach a variance of :math:`(1 + \sqrt{p / n})^2` for *p* features and *n*
    cells :cite:p:`marchenko1967`; components below it are left out.

    Returns
    -------
    Scores (cells, components), in units of what noise alone can reach; NaN where not measured.
    """
    coder, device = module.coders[modality], module.device
    cells = training[dataset.is_observed(modality)[training]]

    def profiles(of: np.ndarray) -> Iterator[np.ndarray]:
        for start in range(0, len(of), CHUNK):
            with torch.inference_mode():
                yield coder.profile(dataset.rows_of(modality, of[start : start + CHUNK]).to(device)).cpu().numpy()

    n_features = next(profiles(cells[:1])).shape[1]
    n_rows = min(len(cells), max(CHUNK, MOST_VALUES // n_features))
    table = np.concatenate(list(profiles(dataset.some_of(cells, n_rows))))
    centre, loadings = table.mean(0), standing_out(table)
    scores = np.full((len(dataset), loadings.shape[1]), np.nan)
    measured = dataset.cells_with(modality)
    scores[measured] = np.concatenate([(part - centre) @ loadings for part in profiles(measured)])
    batches = np.eye(module.n_batches)[dataset.batch_codes.cpu().numpy()]
    return without(scores, batches, training) if module.n_batches > 1 else scores


def standing_out(table: np.ndarray) -> np.ndarray:
    """Loadings (features, components) of what stands out of the noise of a table (cells, features)."""
    n_cells, n_features = table.shape
    edge = (1 + np.sqrt(n_features / n_cells)) ** 2
    centred = table - table.mean(0)
    variance = centred.var(0)
    n_most = min(N_COMPONENTS, n_cells - 1, n_features)
    noise, n_kept = floored(variance, variance), -1
    for _ in range(N_ROUNDS):
        _, spread, axes = randomized_svd(centred / noise, n_most, random_state=0)
        n_before, n_kept = n_kept, int((spread**2 / n_cells > edge).sum())
        loadings = (axes[:n_kept] / noise).T / np.sqrt(edge)
        if n_kept == n_before:
            break
        explained = noise**2 * np.square(spread[:n_kept, None] * axes[:n_kept]).sum(0) / n_cells
        noise = floored((variance - explained) / max(1 - n_kept / n_features, 0.1), variance)
    return loadings


def floored(noise: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Standard deviations of noise from its variances, none of them next to nothing."""
    least = np.maximum(LEAST_NOISE**2 * variance, LEAST_OF_MEDIAN**2 * np.median(noise))
    return np.sqrt(np.maximum(noise, np.where(least > 0, least, 1.0)))


def without(scores: np.ndarray, explaining: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Take out what other columns explain linearly in the training cells."""
    if not explaining.shape[1]:
        return scores
    known = training[np.isfinite(scores[training]).all(1) & np.isfinite(explaining[training]).all(1)]
    centre = explaining[known].mean(0)
    slopes = np.linalg.lstsq(explaining[known] - centre, scores[known], rcond=None)[0]
    return scores - np.nan_to_num(explaining - centre) @ slopes
