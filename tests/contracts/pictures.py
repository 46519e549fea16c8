"""Small simulated images of cells: a bright spot whose place, width and brightness follow from known factors."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from tests.contracts.simulated import annotate, as_adata, cell_names, factors, linear_features

from cellprism.modalities import ResidualConvolutions

SIZE = (17, 20)
CHANNELS = ("DAPI", "actin", "tubulin")
STAINS = ("CD4", "CD8")
NETWORKS = ResidualConvolutions(n_filters=4, n_blocks=1)
"""Small enough for tests."""


def spots(
    shared: np.ndarray, *, n_channels: int = 2, size: tuple[int, int] = SIZE, dtype: str = "uint8", seed: int = 0
) -> np.ndarray:
    """Images whose spot is moved down by the first factor, to the right by the second, and made bright by the third."""
    random = np.random.default_rng(seed)
    height, width = size
    moved = np.tanh(shared / 2)
    row, column = (0.5 + 0.25 * moved[:, i, None, None] for i in range(2))
    rows, columns = np.meshgrid((np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width, indexing="ij")
    squared_distance = np.square(rows - row) + np.square(columns - column)
    brightness = 0.5 + 0.3 * moved[:, 2, None, None]
    channels = [brightness * np.exp(-squared_distance / (0.03 * (1 + c))) for c in range(n_channels)]
    noisy = np.stack(channels, axis=1) + 0.05 + 0.02 * random.normal(size=(len(shared), n_channels, *size))
    return as_type(noisy.clip(0, 1), dtype)


def as_type(fractions: np.ndarray, dtype: str) -> np.ndarray:
    """Store fractions in [0, 1] as a type of which 1 is the end of the range."""
    top = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    return (np.round(fractions * top) if top > 1 else fractions).astype(dtype)


def as_images(images: np.ndarray, cells: Sequence[str], channels: Sequence[str] | None = CHANNELS) -> AnnData:
    """Wrap images with the names of their cells and channels."""
    uns = {} if channels is None else {"channels": list(channels[: images.shape[1]])}
    return AnnData(obs=pd.DataFrame(index=list(cells)), obsm={"image": images}, uns=uns)


def image_data(n_cells: int = 17, **settings) -> AnnData:
    """Images with a mask of the spot, a table of which channels were measured, and two stains."""
    images = spots(factors(n_cells), **settings)
    adata = as_images(images, [f"c{i}" for i in range(n_cells)])
    adata.obsm["mask"] = images[:, 0] > np.median(images[:, 0])
    adata.obsm["measured"] = np.arange(n_cells)[:, None] % 4 != np.arange(1, images.shape[1] + 1)
    adata.obs["stain"] = np.array(STAINS)[np.arange(n_cells) % 2]
    return adata


def simulate_images(
    n_cells: int = 40,
    *,
    present: Mapping[str, Sequence[int]] | None = None,
    seed: int = 0,
    noise: float = 0.3,
    **settings,
) -> MuData:
    """Cells with features, images or both, which follow from shared factors; labels, batches and stains as well."""
    shared, names = factors(n_cells, seed), cell_names(n_cells)
    chosen = present or {"rna": range(n_cells), "image": range(n_cells)}
    in_rna, in_image = (np.asarray(chosen[name]) for name in ("rna", "image"))
    features = linear_features(shared, 14, seed + 1, noise)
    image = as_images(spots(shared, seed=seed, **settings)[in_image], names[in_image])
    image.obs["stain"] = np.array(STAINS)[in_image % 2]
    mdata = MuData({"rna": as_adata(features[in_rna], names[in_rna], "gene"), "image": image})
    annotate(mdata, shared, names)
    return mdata


MOSAIC = {"rna": range(30), "image": range(20, 40)}
"""20 cells have RNA alone, 10 have both, 10 have images alone."""

UNPAIRED = {"rna": range(20), "image": range(20, 40)}
