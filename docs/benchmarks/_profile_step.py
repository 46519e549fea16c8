"""Where the milliseconds of a training step go: `python docs/benchmarks/_profile_step.py [precision]`, one thread.

Uses nothing that older versions lack, so that `PYTHONPATH=OLD/src` profiles what was there before.
"""

import json
import logging
import sys
import time
import warnings

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from cellprism import CrossModalVAE
from cellprism.modalities import Counts, Peaks
from cellprism.objectives import JointReconstruction, KLDivergence

N_CELLS, N_STEPS = 2560, 20
GROUPS = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::linear"),
    "sparse first layer": (
        "aten::_embedding_bag",
        "aten::_embedding_bag_forward_only",
        "aten::_embedding_bag_dense_backward",
        "aten::sort",
        "aten::bincount",
    ),
    "optimiser and norm of gradients": ("aten::_fused_adamw_", "aten::linalg_vector_norm"),
    "gathers and sums by index": (
        "aten::index",
        "aten::index_select",
        "aten::index_add_",
        "aten::index_add",
        "aten::_index_put_impl_",
        "aten::repeat_interleave",
        "aten::arange",
        "aten::nonzero",
        "aten::segment_reduce",
        "aten::cumsum",
    ),
    "random numbers": ("aten::bernoulli_", "aten::uniform_", "aten::normal_"),
}


def cells(n_features: int, density: float, seed: int) -> AnnData:
    random, n_stored = np.random.default_rng(seed), int(density * n_features)
    indices = np.concatenate([np.sort(random.choice(n_features, n_stored, replace=False)) for _ in range(N_CELLS)])
    values = np.float32(1 + random.poisson(0.5, N_CELLS * n_stored))
    offsets = np.arange(0, N_CELLS * n_stored + 1, n_stored)
    matrix = sparse.csr_matrix((values, indices, offsets), shape=(N_CELLS, n_features))
    return AnnData(matrix, obs=pd.DataFrame(index=[f"cell {i}" for i in range(N_CELLS)]))


def profile(precision: str | None) -> dict[str, float]:
    """Milliseconds of a step by group, and in all."""
    mdata = MuData({"rna": cells(4000, 0.08, 0), "atac": cells(20_000, 0.05, 1)})
    CrossModalVAE.setup_mudata(mdata, {"rna": Counts(), "atac": Peaks()})
    model = CrossModalVAE(mdata, n_hidden=141, n_private=0, objectives=[JointReconstruction(), KLDivergence()], seed=0)
    settings = {"validation_size": 0, "enable_progress_bar": False, "accelerator": "cpu", "precision": precision}
    model.train(1, **settings)
    # a train of two epochs less a train of one is an epoch without what comes before and after
    spent = {n: measured(model, n, settings) for n in (1, 3)}
    return {group: (spent[3][group] - spent[1][group]) / (2 * N_STEPS) for group in spent[1]}


def measured(model: CrossModalVAE, n_epochs: int, settings: dict) -> dict[str, float]:
    start = time.process_time()
    model.train(n_epochs, **settings)
    total = 1000 * (time.process_time() - start)
    with torch.profiler.profile() as found:
        model.train(n_epochs, **settings)
    own = {event.key: event.self_cpu_time_total / 1000 for event in found.key_averages()}
    groups = {group: sum(own.get(key, 0.0) for key in keys) for group, keys in GROUPS.items()}
    groups["element by element, and all else"] = sum(own.values()) - sum(groups.values())
    return groups | {"CPU ms of a step without the profiler": total}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.getLogger("cellprism").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    print(json.dumps(profile(sys.argv[1] if len(sys.argv) > 1 else None), indent=2))
