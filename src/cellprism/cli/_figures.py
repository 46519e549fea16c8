"""Figures of a run, as PNG files."""

from itertools import permutations
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

from cellprism import pl, tl
from cellprism._keys import RECONSTRUCTED, translated_layer
from cellprism.cli._comparison import MIN_PAIRS
from cellprism.cli._input import Cells
from cellprism.cli._scale import Measured
from cellprism.modalities import Images
from cellprism.models import CrossModalVAE

_DPI = 150


def draw_figures(model: CrossModalVAE, cells: Cells, folder: Path) -> list[Path]:
    """Save UMAPs of the shared block, loss curves, and true against translated values.

    Returns
    -------
    The files, all in ``folder``.
    """
    with matplotlib.rc_context({"backend": "agg", "interactive": False}):
        drawn = [_save(pl.history(model, show=False)[0], folder / "loss.png")]
        drawn += _draw_maps(cells, folder)
        for source, target in permutations(cells.modalities, 2):
            drawn += _draw_translation(model, cells, source, target, folder)
    return drawn


def _draw_maps(cells: Cells, folder: Path) -> list[Path]:
    cell_map = tl.joint_umap(cells.mdata, cells.modalities)
    drawn = [_save(pl.embedding(cell_map, "modality", show=False), folder / "umap_modality.png")]
    if cells.labels is not None:
        labels = pd.Categorical(cells.labels.reindex(cell_map.obs["cell"]))
        panel = pl.embedding(cell_map, labels, show=False)
        panel.set_title(cells.labels_key)
        drawn.append(_save(panel, folder / "umap_labels.png"))
    return drawn


def _draw_translation(model: CrossModalVAE, cells: Cells, source: str, target: str, folder: Path) -> list[Path]:
    """Draw the best and the worst feature over held-out cells, or over all if none were held out."""
    adata, key = cells.mdata.mod[target], translated_layer(source)
    values = Measured.of(adata, model.registration.modalities[target], cells.training)
    shown = cells.held_out if cells.is_held_out.any() else cells.training
    shown = shown.intersection(adata.obs_names, sort=False)
    shown = shown.intersection(cells.mdata.mod[source].obs_names, sort=False)
    if not values.has_predicted(key) or len(shown) < MIN_PAIRS:
        return []
    panels = (
        _draw_images(values, shown, key)
        if isinstance(values.modality, Images)
        else _draw_values(values, shown, key, (f"{target}, {values.scale.name}", f"translated from {source}"))
    )
    return [_save(panels.flat[0], folder / f"translation_{source}_to_{target}.png")]


def _draw_values(values: Measured, shown: pd.Index, key: str, names: tuple[str, str]) -> np.ndarray:
    panels = pl.true_vs_predicted(
        values.measured(shown), values.predicted(shown, key), feature_names=values.adata.var_names, show=False
    )
    for panel in panels:
        panel.set(xlabel=names[0], ylabel=names[1])
    return panels


def _draw_images(values: Measured, shown: pd.Index, key: str) -> np.ndarray:
    images, adata = values.modality, values.adata[shown]
    predicted = [images.own_slot(name).partition("/")[2] for name in (key, RECONSTRUCTED)]
    return pl.translation(adata, *predicted, key=images.key, show=False)


def _save(panel: "matplotlib.axes.Axes", path: Path) -> Path:
    """Save the figure that a panel is part of, and close it."""
    import matplotlib.pyplot as plt

    panel.figure.savefig(path, dpi=_DPI)
    plt.close(panel.figure)
    return path
