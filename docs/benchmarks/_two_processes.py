"""Seconds an epoch of one process, and of two that share its minibatches, each with a core and a thread of its own.

``python docs/benchmarks/_two_processes.py`` prints what :func:`measure` returns. Linux; torch's CPU backend (gloo).
"""

import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np
import pandas as pd
from anndata import AnnData
from lightning.pytorch import Callback
from mudata import MuData
from scipy import sparse

import cellprism as cp

N_CELLS = 5000
SHAPES = {"rna": (2000, 0.08), "atac": (5000, 0.05)}
"""Number of features and share of values that are not zero."""

CORES = sorted(os.sched_getaffinity(0))


def simulate(seed: int = 0) -> MuData:
    """Sparse counts and peaks of the same cells, of the size that training reads; there is nothing to find in them."""
    random = np.random.default_rng(seed)
    cells = pd.DataFrame(index=[f"cell{i}" for i in range(N_CELLS)])
    modalities = {}
    for name, (n_features, density) in SHAPES.items():
        matrix = sparse.random(N_CELLS, n_features, density, format="csr", dtype=np.float32, rng=random)
        matrix.data[:] = 1 if name == "atac" else random.integers(1, 6, len(matrix.data))
        modalities[name] = AnnData(matrix, obs=cells)
    return MuData(modalities)


class Stopwatch(Callback):
    """Wall and CPU seconds of each epoch, on a core of the process's own."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def setup(self, trainer, pl_module, stage) -> None:
        """Choose the core, once all processes have started."""
        os.sched_setaffinity(0, {CORES[trainer.local_rank]})

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        """Start."""
        self.started = time.perf_counter(), time.process_time()

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        """Stop."""
        self.wall.append(time.perf_counter() - self.started[0])
        self.cpu.append(time.process_time() - self.started[1])


def train(kind: str, n_processes: int, batch_size: int, n_epochs: int) -> None:
    """Train in this process, and the one that it starts; print a line with the seconds of each epoch."""
    model_class, mdata, watch = getattr(cp, kind), simulate(), Stopwatch()
    model_class.setup_mudata(mdata, {"rna": cp.modalities.Counts(), "atac": cp.modalities.Peaks()})
    model = model_class(mdata, seed=0)
    model.train(
        max_epochs=n_epochs,
        batch_size=batch_size // n_processes,
        devices=n_processes,
        validation_size=0,
        accelerator="cpu",
        enable_progress_bar=False,
        callbacks=[watch],
        **({"encoder_epochs": 1, "fine_tune": False} if kind == "Apollo" else {}),
    )
    print("\n" + json.dumps({"wall": watch.wall[:n_epochs], "cpu": watch.cpu[:n_epochs]}), flush=True)


def measure(kind: str = "CrossModalVAE", batch_size: int = 256, n_epochs: int = 5, n_rounds: int = 2) -> dict:
    """Compare one process with two at the same number of cells a step, in turns.

    Parameters
    ----------
    kind
        ``"CrossModalVAE"``, or ``"Apollo"``, of whose stages the first is timed.
    batch_size
        Cells a step, of all processes together.
    n_epochs
        Epochs of a run, of which the first is not counted.
    n_rounds
        Runs of each.

    Returns
    -------
    Medians over epochs: wall seconds, CPU seconds of all processes, and efficiency, the wall seconds of one process
    over twice those of two (1 were perfect), with the same of CPU seconds, which other work on the machine changes
    less.
    """
    epochs: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    for _ in range(n_rounds):
        for n_processes in epochs:
            found = _in_script(kind, n_processes, batch_size, n_epochs)
            wall = np.max([process["wall"] for process in found], axis=0)
            cpu = np.sum([process["cpu"] for process in found], axis=0)
            epochs[n_processes] += list(zip(wall[1:].tolist(), cpu[1:].tolist(), strict=True))
    wall = {n: statistics.median(w for w, _ in of) for n, of in epochs.items()}
    cpu = {n: statistics.median(c for _, c in of) for n, of in epochs.items()}
    return {
        "model": kind,
        "cells a step": batch_size,
        "wall seconds an epoch": wall,
        "CPU seconds an epoch": cpu,
        "efficiency": wall[1] / (2 * wall[2]),
        "efficiency by CPU seconds": cpu[1] / cpu[2],
    }


def _in_script(kind: str, n_processes: int, batch_size: int, n_epochs: int) -> list[dict[str, list[float]]]:
    command = [
        sys.executable,
        "-W",
        "ignore",
        __file__,
        "train",
        kind,
        str(n_processes),
        str(batch_size),
        str(n_epochs),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"wall"')]
    if done.returncode or len(found) != n_processes:
        raise RuntimeError(f"{' '.join(command)} gave {done.stdout[-2000:]}{done.stderr[-4000:]}")
    return found


if __name__ == "__main__":
    if sys.argv[1:2] == ["train"]:
        train(sys.argv[2], *map(int, sys.argv[3:]))
    else:
        for each in ("CrossModalVAE", "Apollo"):
            print(json.dumps(measure(each), indent=2), flush=True)
