"""One measurement of speed, in a process of its own: `python _speed_worker.py NAME TOOL`, figures as JSON.

Processes of one thread, so that CPU seconds of different tools compare. Memory is the resident set of the process,
counted from where the data and all packages are loaded.
"""

import json
import os
import sys
import tempfile

if __name__ == "__main__":
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")

import contextlib
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import mudata
import numpy as np
import pandas as pd
import torch
from _plain_loop import fit_plain, make_plain
from _stored_data import write_cells
from anndata import AnnData
from scipy import sparse
from scipy.special import gammaln

from cellprism import CrossModalVAE, read_backed
from cellprism.modalities import Counts, Images, Peaks
from cellprism.objectives import JointReconstruction, KLDivergence

N_CELLS, N_GENES, N_PEAKS, N_HIDDEN, BATCH_SIZE = 5000, 4000, 20_000, 141, 128
GIB = 2**30


@dataclass
class Cost:
    """What a block of code took."""

    cpu: float = 0.0
    wall: float = 0.0
    peak: float = 0.0


@contextlib.contextmanager
def cost() -> Iterator[Cost]:
    """Measure seconds, and the most memory above what was taken before; unit: GiB."""
    found, before = Cost(), resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    cpu, wall = time.process_time(), time.perf_counter()
    yield found
    found.cpu, found.wall = time.process_time() - cpu, time.perf_counter() - wall
    found.peak = (resident("VmHWM") - before) / GIB


def resident(kind: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(kind))
    return 1024 * int(line.split()[1])


def table(n_cells: int, n_features: int, density: float, seed: int, prefix: str) -> AnnData:
    """Counts at random places, as many in each cell."""
    random, n_stored = np.random.default_rng(seed), int(density * n_features)
    indices = np.concatenate([np.sort(random.choice(n_features, n_stored, replace=False)) for _ in range(n_cells)])
    values = 1 + random.poisson(0.5, n_cells * n_stored)
    offsets = np.arange(0, n_cells * n_stored + 1, n_stored)
    matrix = sparse.csr_matrix((np.float32(values), np.int32(indices), offsets), shape=(n_cells, n_features))
    obs = pd.DataFrame(index=[f"cell {i}" for i in range(n_cells)])
    return AnnData(matrix, obs=obs, var=pd.DataFrame(index=[f"{prefix} {i}" for i in range(n_features)]))


def simulated() -> mudata.MuData:
    genes, peaks = table(N_CELLS, N_GENES, 0.08, 0, "gene"), table(N_CELLS, N_PEAKS, 0.05, 1, "peak")
    return mudata.MuData({"rna": genes, "atac": peaks})


# ---- the tools


def ours(mdata: mudata.MuData, **settings) -> CrossModalVAE:
    """One decoding of each modality in a step, as in MULTIVI."""
    CrossModalVAE.setup_mudata(mdata, {"rna": Counts(), "atac": Peaks()})
    plain = {"objectives": [JointReconstruction(), KLDivergence()], "n_private": 0}
    return CrossModalVAE(mdata, **({"n_hidden": N_HIDDEN, "n_shared": 32} | plain | settings))


def ours_by_default(mdata: mudata.MuData) -> CrossModalVAE:
    """All objectives for paired cells, which decode each modality four times in a step."""
    CrossModalVAE.setup_mudata(mdata, {"rna": Counts(), "atac": Peaks()})
    return CrossModalVAE(mdata, n_hidden=N_HIDDEN, n_shared=32)


def fit_ours(model: CrossModalVAE, n_epochs: int, **settings) -> None:
    model.train(
        n_epochs,
        batch_size=BATCH_SIZE,
        accelerator="cpu",
        early_stopping=False,
        validation_size=0,
        enable_progress_bar=False,
        **settings,
    )


def multivi(mdata: mudata.MuData, **settings):
    from scvi.model import MULTIVI

    MULTIVI.setup_mudata(mdata, modalities=MODALITIES_OF_MULTIVI)
    return MULTIVI(mdata, n_genes=mdata["rna"].n_vars, n_regions=mdata["atac"].n_vars, **settings)


def fit_multivi(model, n_epochs: int) -> None:
    model.train(
        n_epochs,
        batch_size=BATCH_SIZE,
        accelerator="cpu",
        early_stopping=False,
        train_size=1.0,
        check_val_every_n_epoch=1000,
        enable_progress_bar=False,
    )


MODALITIES_OF_MULTIVI = {"rna_layer": "rna", "atac_layer": "atac"}
SAME_SIZE = {"n_hidden": N_HIDDEN, "n_latent": 32, "n_layers_encoder": 1, "n_layers_decoder": 1}

TOOLS: dict[str, tuple[Callable, Callable]] = {
    "MULTIVI": (lambda mdata: multivi(mdata, **SAME_SIZE), fit_multivi),
    "plain PyTorch": (make_plain, fit_plain),
    "cellprism": (ours, fit_ours),
    "cellprism, bf16-mixed": (ours, lambda model, n: fit_ours(model, n, precision="bf16-mixed")),
    "cellprism, compiled": (ours, lambda model, n: fit_ours(model, n, compile=True)),
    "cellprism, all objectives": (ours_by_default, fit_ours),
}


# ---- the measurements


def measure_epoch(tool: str) -> dict[str, float]:
    """Seconds of an epoch without what comes before and after a training, and memory of the whole run."""
    from scvi.model import MULTIVI  # noqa: F401  (packages are loaded before memory is counted)

    make, fit = TOOLS[tool]
    mdata = simulated()
    with cost() as whole:
        model = make(mdata)
        with cost_of_time() as first:
            fit(model, 1)
        with cost_of_time() as one:
            fit(model, 1)
        with cost_of_time() as three:
            fit(model, 3)
    return {
        "CPU seconds": (three.cpu - one.cpu) / 2,
        "wall seconds": (three.wall - one.wall) / 2,
        "CPU seconds, first training of one epoch": first.cpu,
        "peak GiB": whole.peak,
    }


@contextlib.contextmanager
def cost_of_time() -> Iterator[Cost]:
    found, cpu, wall = Cost(), time.process_time(), time.perf_counter()
    yield found
    found.cpu, found.wall = time.process_time() - cpu, time.perf_counter() - wall


def measure_inference(tool: str) -> dict[str, float]:
    """Latents of all cells; accessibility of all cells, translated from RNA by ours."""
    from scvi.model import MULTIVI  # noqa: F401

    make, fit = TOOLS[tool]
    model = make(simulated())
    fit(model, 1)
    with cost() as latents:
        model.get_latent_representation()
    with cost() as predictions:
        if tool == "MULTIVI":
            result = model.get_normalized_accessibility(return_numpy=True)
        else:
            result = model.translate("rna", "atac").X
    return {
        "CPU seconds, latents": latents.cpu,
        "CPU seconds, accessibility": predictions.cpu,
        "wall seconds, latents": latents.wall,
        "wall seconds, accessibility": predictions.wall,
        "peak over size of the result": predictions.peak * GIB / (4 * result.shape[0] * result.shape[1]),
    }


def measure_features(n_peaks: str) -> dict[str, float]:
    """Milliseconds of a step of 128 cells with 1,000 open peaks each, and where they go."""
    mdata = mudata.MuData({"atac": table(1280, int(n_peaks), 1000 / int(n_peaks), 0, "peak")})
    CrossModalVAE.setup_mudata(mdata, {"atac": Peaks()})
    model = CrossModalVAE(mdata, n_private=0)
    fit_ours(model, 1)
    with torch.profiler.profile() as profile:
        fit_ours(model, 3)
    with cost_of_time() as seconds:
        fit_ours(model, 5)
    events = {event.key: event.self_cpu_time_total / 30e3 for event in profile.key_averages()}
    parts = {
        "matrix products": ("aten::mm", "aten::addmm"),
        "optimiser and norm": ("aten::_fused_adamw_", "aten::linalg_vector_norm"),
        "sparse first layer": ("aten::_embedding_bag", "aten::_embedding_bag_forward_only", "aten::sort"),
    }
    shares = {name: sum(events.get(key, 0.0) for key in keys) for name, keys in parts.items()}
    return {"ms of a step": 1000 * seconds.cpu / 50} | {f"{name}, ms": value for name, value in shares.items()}


def measure_images() -> dict[str, float]:
    """An epoch of images of 64 x 64 pixels and two channels, over the time of its convolutions."""
    random, n_cells = np.random.default_rng(0), 1280
    images = random.integers(0, 256, (n_cells, 2, 64, 64), dtype=np.uint8)
    adata = AnnData(obs=pd.DataFrame(index=[f"cell {i}" for i in range(n_cells)]), obsm={"image": images})
    mdata = mudata.MuData({"nucleus": adata})
    CrossModalVAE.setup_mudata(mdata, {"nucleus": Images()})
    model = CrossModalVAE(mdata, n_private=0)
    fit_ours(model, 1)
    # a training of three epochs less one of one: an epoch without what comes before and after
    whole, in_them = ((cost[3] - cost[1]) / 2 for cost in (seconds_of_training(model), seconds_of_convolutions(model)))
    return {
        "CPU seconds of an epoch": whole,
        "of which convolutions": in_them,
        "epoch over convolutions": whole / in_them,
    }


def seconds_of_training(model: CrossModalVAE) -> dict[int, float]:
    """CPU seconds by number of epochs."""
    found = {}
    for n_epochs in (1, 3):
        with cost_of_time() as seconds:
            fit_ours(model, n_epochs)
        found[n_epochs] = seconds.cpu
    return found


def seconds_of_convolutions(model: CrossModalVAE) -> dict[int, float]:
    """Self time of convolutions and their gradients by number of epochs."""
    found, keys = {}, {"aten::mkldnn_convolution", "aten::convolution_backward"}
    for n_epochs in (1, 3):
        with torch.profiler.profile() as profile:
            fit_ours(model, n_epochs)
        found[n_epochs] = sum(e.self_cpu_time_total for e in profile.key_averages() if e.key in keys) / 1e6
    return found


def measure_scale(n_cells: str, keep: str) -> dict[str, float]:
    """Microseconds a cell and memory while training on a file of 2,000 genes and 8,000 peaks, kept or streamed."""
    sizes = {"rna": (2000, 0.08), "atac": (8000, 0.05)}
    n_epochs = max(1, 20_000 // int(n_cells))
    with tempfile.TemporaryDirectory() as scratch:
        path = write_cells(Path(scratch) / "cells.h5mu", int(n_cells), sizes=sizes)
        mdata = read_backed(path)
        with cost() as whole:
            model = ours(mdata, n_hidden=128)
            fit_ours(model, n_epochs, resident=keep == "resident")
    speed = model.history["cells_per_second"]["cells_per_second"].to_numpy()[-max(1, n_epochs - 1) :]
    return {
        "microseconds a cell": 1e6 / float(np.median(speed)),
        "of which loading": float(model.history["loading_share"]["loading_share"].iloc[-1]),
        "peak GiB": whole.peak,
    }


def measure_quality(tool: str, folder: str, max_epochs: int = 500) -> dict[str, float]:
    """Default training on three quarters of the cells, and how well the others are reconstructed."""
    mdata = mudata.read_h5mu(Path(folder) / "snareseq_cortex.h5mu")
    mdata["rna"].X, mdata["atac"].X = (sparse.csr_matrix(mdata[m].X, dtype=np.float32) for m in ("rna", "atac"))
    mdata["atac"].X.data[:] = 1
    held_out = np.random.default_rng(0).random(mdata.n_obs) < 0.25
    training, others = mdata[~held_out].copy(), mdata[held_out].copy()
    if tool == "MULTIVI":
        with cost_of_time() as seconds:
            model = multivi(training)
            model.train(max_epochs, accelerator="cpu", enable_progress_bar=False)
        type(model).setup_mudata(others, modalities=MODALITIES_OF_MULTIVI)
        shares = np.asarray(model.get_normalized_expression(others, return_numpy=True))
        totals = np.asarray(others["rna"].X.sum(1))  # which cellprism's own reconstruction is told as well
        rna = shares / shares.sum(1, keepdims=True) * totals
        # with the factors of cells and regions, without which these are no probabilities of detection
        factors = {"normalize_cells": True, "normalize_regions": True}
        atac = model.get_normalized_accessibility(others, return_numpy=True, **factors)
    else:
        CrossModalVAE.setup_mudata(training, {"rna": Counts(), "atac": Peaks()})
        with cost_of_time() as seconds:
            model = CrossModalVAE(training)
            model.train(accelerator="cpu", enable_progress_bar=False)
        rna, atac = model.reconstruct("rna", others).X, model.reconstruct("atac", others).X
    return {
        "CPU seconds of training": seconds.cpu,
        "wall seconds of training": seconds.wall,
        "epochs": float(len(next(iter(model.history.values())))),
        "RNA, nats a gene": poisson_loss(others["rna"].X.toarray(), np.asarray(rna)),
        "ATAC, nats a peak": bernoulli_loss(others["atac"].X.toarray(), np.asarray(atac)),
    }


def poisson_loss(counts: np.ndarray, expected: np.ndarray) -> float:
    """Negative log-likelihood of counts with these means, in a model-free form."""
    rate = np.clip(expected, 1e-8, None).astype(np.float64)
    return float((rate - counts * np.log(rate) + gammaln(counts + 1)).mean())


def bernoulli_loss(detected: np.ndarray, probability: np.ndarray) -> float:
    """Negative log-likelihood of detections with these probabilities."""
    p = np.clip(probability, 1e-7, 1 - 1e-7).astype(np.float64)
    return float(-np.where(detected > 0, np.log(p), np.log1p(-p)).mean())


MEASUREMENTS = {
    "epoch": measure_epoch,
    "inference": measure_inference,
    "features": measure_features,
    "images": measure_images,
    "quality": measure_quality,
    "scale": measure_scale,
}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.getLogger("cellprism").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    figures = MEASUREMENTS[sys.argv[1]](*sys.argv[2:])
    print("figures", json.dumps(figures))
