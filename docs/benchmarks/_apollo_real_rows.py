"""Rows of the benchmark of Apollo on measured cells, a quarter of them held out, and what a step costs."""

import time
from pathlib import Path
from typing import Any

import mudata
import numpy as np
import pandas as pd
import torch
from _apollo_rows import Blocks, explained
from _image_data import read_mdata
from _tables import Tables
from lightning.pytorch.callbacks import Callback
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cellprism import Apollo, CrossModalVAE, datasets, pl, pp, tl
from cellprism.data import Batch, CellLoader
from cellprism.latents import Posterior
from cellprism.modalities import Images
from cellprism.objectives import Reconstruction
from cellprism.training import fit_codes

HELD_OUT = 0.25
SPLIT_SEED = 0
N_FIT = 400
"""Steps that fit the codes of held-out cells, as the end of the gap."""
N_COMPONENTS = 50
REFINE_STEPS = 50
N_STEPS, WARM_UP = 220, 20
FIGURES = Path(__file__).parents[1] / "_static"
LEAST_R2 = 0.3
"""Image features of which no block tells so much are left out of the table."""


# ---- sequencing


def score_citeseq(folder: Path | None, seeds: list[int], tables: Tables) -> None:
    """PBMCs, a mosaic of RNA and protein."""
    score_sequencing("PBMC CITE-seq mosaic", datasets.pbmc_citeseq_mosaic(), seeds, tables)


def score_cortex(folder: Path | None, seeds: list[int], tables: Tables) -> None:
    """Cortex, RNA and chromatin accessibility of the same cells."""
    score_sequencing("SNARE-seq cortex", read_mdata("snareseq_cortex", folder), seeds, tables)


def score_sequencing(title: str, mdata: mudata.MuData, seeds: list[int], tables: Tables) -> None:
    """How much encoders recover of what codes explain, and whether a block forgets cell types."""
    is_held_out = np.random.default_rng(SPLIT_SEED).random(mdata.n_obs) < HELD_OUT
    training, held_out = np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)
    rna = mdata["rna"]
    rows = mdata.obs_names.get_indexer(rna.obs_names)
    told = lambda latents: type_accuracy(latents, rna.obs["cell_type"], is_held_out[rows])  # noqa: E731
    for seed in seeds:
        for method, make in {"Apollo": Apollo, "CrossModalVAE": CrossModalVAE}.items():
            make.setup_mudata(mdata, batch_key="batch")
            model = make(mdata, seed=seed)
            started = time.process_time(), time.perf_counter()
            model.train(train_indices=training, enable_progress_bar=False)
            cost = {"seconds": time.process_time() - started[0]}
            if method == "Apollo":
                waited = {"minutes waited": (time.perf_counter() - started[1]) / 60}
                tables.add("Gap recovered by encoders", title, method, seed, gap(model, held_out) | waited | cost)
            blocks = {b: model.get_latent_representation(block=b, modality="rna")[rows] for b in ("shared", "rna")}
            both = {"shared and private": np.concatenate(list(blocks.values()), axis=1)}
            scores = {name: told(latents) for name, latents in (both | {"shared": blocks["shared"]}).items()}
            tables.add("Cell types from RNA (balanced accuracy)", title, method, seed, scores)
    values = tl.log_normalize(rna.X)
    values = np.asarray(values.todense() if hasattr(values, "todense") else values)
    fitted = PCA(N_COMPONENTS, random_state=0).fit(values[~is_held_out[rows]])
    scores = {"shared and private": told(fitted.transform(values))}
    tables.add("Cell types from RNA (balanced accuracy)", title, f"{N_COMPONENTS} components", 0, scores)


def type_accuracy(latents: np.ndarray, types: pd.Series, is_held_out: np.ndarray) -> float:
    """Balanced accuracy in held-out cells of a linear classifier of the training cells."""
    classes = types.astype(str).to_numpy()
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000, C=0.1))
    classifier.fit(latents[~is_held_out], classes[~is_held_out])
    return float(balanced_accuracy_score(classes[is_held_out], classifier.predict(latents[is_held_out])))


def gap(model: Apollo, cells: np.ndarray) -> dict[str, float]:
    """Share of what fitted codes gain over null codes, in log-likelihood, that encoders reach."""
    losses: dict[str, list[float]] = {}
    for batch in CellLoader(model._require_dataset(), cells, batch_size=512):
        with torch.no_grad():
            inferred = model.module.infer(batch)
        zero = {block: Posterior(torch.zeros_like(p.mean), p.log_scale) for block, p in inferred.items()}
        tried = {
            "null": zero,
            "encoders": inferred,
            f"{REFINE_STEPS} steps": fit_codes(model.module, batch, inferred, n_steps=REFINE_STEPS),
            "fitted": fit_codes(model.module, batch, inferred, n_steps=N_FIT),
        }
        for name, codes in tried.items():
            losses.setdefault(name, []).append(batch.n_cells * misfit(model, batch, codes))
    total = {name: sum(parts) for name, parts in losses.items()}
    return {
        name: (total["null"] - total[name]) / (total["null"] - total["fitted"])
        for name in ("encoders", f"{REFINE_STEPS} steps")
    }


@torch.no_grad()
def misfit(model: Apollo, batch: Batch, codes: dict[str, Posterior]) -> float:
    """Negative log-likelihood at given codes, as the objective has it."""
    reconstruction = next(objective for objective in model.objectives if isinstance(objective, Reconstruction))
    outputs = model.module.outputs_of(batch, {b: Posterior(p.mean, p.log_scale - 20) for b, p in codes.items()})
    return float(sum(reconstruction.terms(outputs, torch.nn.Module()).values()))


# ---- images


def score_jurkat(folder: Path | None, seeds: list[int], tables: Tables) -> None:
    """Label-free images and nuclei: phases from each block, image features carried by each, strips of images."""
    mdata = datasets.jurkat_ifc_images()
    is_held_out = np.random.default_rng(SPLIT_SEED).random(mdata.n_obs) < HELD_OUT
    names = list(mdata.mod)
    for name in names:
        pp.image_features(mdata[name])
    for seed in seeds:
        Apollo.setup_mudata(mdata, {name: Images() for name in names})
        model = Apollo(mdata, seed=seed)
        started = time.process_time()
        model.train(train_indices=np.flatnonzero(~is_held_out), enable_progress_bar=False, precision="bf16-mixed")
        cost = {"seconds": time.process_time() - started}
        blocks = {b: model.get_latent_representation(block=b) for b in model.layout.names}
        phases = mdata[names[0]].obs.loc[mdata.obs_names, "phase3"]
        told = {block: type_accuracy(latents, phases, is_held_out) for block, latents in blocks.items()}
        tables.add("Phase (balanced accuracy)", "Jurkat, label-free and nuclei", "Apollo", seed, told | cost)
        used = model.block_information()["used"]
        tables.add("Phase (balanced accuracy)", "Jurkat, label-free and nuclei", "Apollo: dimensions", seed, dict(used))
        for name in names:
            score_image_features(mdata, name, blocks, is_held_out, seed, tables)
        if seed == seeds[0]:
            draw_traversal(model, names)


def score_image_features(
    mdata: mudata.MuData, name: str, blocks: Blocks, is_held_out: np.ndarray, seed: int, tables: Tables
) -> None:
    """R2 of measured image features of a modality by its shared and its private block, in held-out cells."""
    features = mdata[name].obsm["image_features"].loc[mdata.obs_names[is_held_out]]
    own = {"shared": blocks["shared"][is_held_out], "private": blocks[name][is_held_out]}
    for feature in features.columns[features.std() > 0]:
        values = features[feature].to_numpy()
        known = np.isfinite(values)
        found = {block: explained(latents[known], values[known]) for block, latents in own.items()}
        if max(found.values()) >= LEAST_R2:
            tables.add("Image features (R2)", name, feature, seed, found)


def draw_traversal(model: Apollo, names: list[str]) -> None:
    """One strip for the first axis of the shared and of the private block of each modality, one figure."""
    strips = {
        f"{name}, {'shared' if block == 'shared' else 'private'}": tl.traverse(model, block, name)
        for name in names
        for block in ("shared", name)
    }
    panels = np.concatenate(
        [pl.traversal({k: v for k, v in strips.items() if k.startswith(name)}, show=False) for name in names]
    )
    for name, panel in zip(names, panels[:: len(panels) // len(names)], strict=True):
        panel.figure.savefig(FIGURES / f"jurkat_{name}_traversal.png", dpi=80, bbox_inches="tight")


# ---- cost


class StepTimes(Callback):
    """CPU seconds of each training step; every stage ends after so many."""

    def __init__(self, n_steps: int) -> None:
        self.n_steps, self.seconds, self.started = n_steps, [], 0.0

    def on_train_batch_start(self, trainer: Any, *rest: Any) -> None:
        self.started = time.process_time()

    def on_train_batch_end(self, trainer: Any, *rest: Any) -> None:
        self.seconds.append(time.process_time() - self.started)
        if trainer.global_step >= self.n_steps:
            trainer.should_stop = True


def score_cost(folder: Path | None, seeds: list[int], tables: Tables) -> None:
    """A step of the first stage with a thousand and with a million codes, in turns."""
    data = {n_cells: datasets.simulated(noise=0.5, n_cells=n_cells) for n_cells in (1_000, 1_000_000)}
    for seed in seeds:
        for n_cells, mdata in data.items():
            times = StepTimes(N_STEPS)
            Apollo(mdata, seed=seed).train(
                1_000,
                encoder_epochs=1,
                fine_tune=False,
                validation_indices=range(100),
                early_stopping=False,
                callbacks=[times],
                enable_progress_bar=False,
            )
            of_codes = times.seconds[WARM_UP:N_STEPS]
            scores = {"milliseconds": 1000 * float(np.median(of_codes)), "mean": 1000 * float(np.mean(of_codes))}
            tables.add("A step of training, CPU", "simulated cells", f"{n_cells:,} cells", seed, scores)
