"""Ways to compute parts of a step, and rates of this machine: `python docs/benchmarks/_parts.py`.

First layers of 128 rows of 20,000 features, 1,000 of them not zero, onto 141 outputs; log-likelihoods of 128 rows of
4,000 features, 320 of them not zero; milliseconds, medians of 20, one thread.
"""

import json
import time
import warnings
from collections.abc import Callable
from functools import partial

import numba
import numpy as np
import torch
from torch.nn import functional as F

from cellprism.nn import (
    Detection,
    Likelihood,
    NegativeBinomial,
    Poisson,
    Shares,
    SparseLinear,
    ZeroInflatedNegativeBinomial,
)

N_ROWS, N_FEATURES, N_STORED, N_OUTPUTS = 128, 20_000, 1000, 141


def milliseconds(call: Callable[[], object], n_times: int = 20) -> float:
    call()
    found = []
    for _ in range(n_times):
        start = time.process_time()
        call()
        found.append(1000 * (time.process_time() - start))
    return float(np.median(found))


def layers() -> dict[str, float]:
    """Forward and backward of each way."""
    random = np.random.default_rng(0)
    chosen = [np.sort(random.choice(N_FEATURES, N_STORED, replace=False)) for _ in range(N_ROWS)]
    indices = torch.from_numpy(np.concatenate(chosen))
    rows = torch.arange(N_ROWS).repeat_interleave(N_STORED)
    offsets, values = torch.arange(0, N_ROWS * N_STORED + 1, N_STORED), torch.rand(N_ROWS * N_STORED)
    layer, gradient = SparseLinear(N_FEATURES, N_OUTPUTS), torch.randn(N_ROWS, N_OUTPUTS)

    def with_backward(out: torch.Tensor) -> None:
        layer.weight.grad = None
        out.backward(gradient)

    def bag() -> torch.Tensor:
        return F.embedding_bag(
            indices, layer.weight, offsets, mode="sum", per_sample_weights=values, include_last_offset=True
        )

    def matrix() -> torch.Tensor:
        return torch.sparse_csr_tensor(offsets, indices, values, (N_ROWS, N_FEATURES), check_invariants=False)

    def dense(kind: torch.dtype = torch.float32) -> torch.Tensor:
        full = torch.zeros(N_ROWS, N_FEATURES, dtype=kind)
        full[rows, indices] = values.to(kind)
        return full @ layer.weight.to(kind)

    places = (indices.int().numpy(), offsets.int().numpy(), values.numpy())
    weight, sums = layer.weight.detach().numpy(), np.zeros((N_ROWS, N_OUTPUTS), dtype=np.float32)
    of_weight = np.zeros_like(weight)

    def compiled() -> None:
        gather(*places, weight, sums)
        scatter(*places, gradient.numpy(), of_weight)

    return {
        "loops compiled by numba": milliseconds(compiled),
        "embedding bag, gradient sorted by feature (ours)": milliseconds(
            lambda: with_backward(layer.sparse(indices.int(), rows, offsets, values))
        ),
        "embedding bag, its own gradient": milliseconds(lambda: with_backward(bag())),
        "product of a CSR matrix": milliseconds(lambda: with_backward(matrix() @ layer.weight)),
        "dense": milliseconds(lambda: with_backward(dense())),
        "dense, bfloat16": milliseconds(lambda: with_backward(dense(torch.bfloat16).float())),
    }


def likelihoods() -> dict[str, dict[str, float]]:
    """Forward and backward of each, of dense rows and by the non-zeros."""
    n_features = 4000
    log_theta = torch.zeros(n_features, requires_grad=True)
    logits, lost = (torch.randn(N_ROWS, n_features, requires_grad=True) for _ in range(2))
    shares = Shares(logits, torch.full((N_ROWS,), 500.0))
    counts = (torch.rand(N_ROWS, n_features) < 0.08) * (1 + torch.poisson(torch.full((N_ROWS, n_features), 0.5)))
    rows, columns = torch.nonzero(counts, as_tuple=True)
    values = counts[rows, columns]
    kinds: dict[str, Likelihood] = {
        "Poisson": Poisson(shares),
        "negative binomial": NegativeBinomial(shares, log_theta),
        "zero-inflated": ZeroInflatedNegativeBinomial(NegativeBinomial(shares, log_theta), lost),
        "detection": Detection(shares),
    }

    def dense(kind: str) -> None:
        kinds[kind].log_prob(counts).sum().backward()

    def by_non_zeros(kind: str) -> None:
        kinds[kind].sparse_log_prob(rows, columns, values).sum().backward()

    return {
        kind: {
            "dense": milliseconds(partial(dense, kind)),
            "by the non-zeros": milliseconds(partial(by_non_zeros, kind)),
        }
        for kind in kinds
    }


@numba.njit(fastmath=True)
def gather(indices: np.ndarray, offsets: np.ndarray, values: np.ndarray, weight: np.ndarray, sums: np.ndarray) -> None:
    """Add up the weights' rows of each row's features, times their values."""
    sums[:] = 0
    for row in range(len(offsets) - 1):
        for place in range(offsets[row], offsets[row + 1]):
            feature, value = indices[place], values[place]
            for output in range(weight.shape[1]):
                sums[row, output] += value * weight[feature, output]


@numba.njit(fastmath=True)
def scatter(
    indices: np.ndarray, offsets: np.ndarray, values: np.ndarray, gradient: np.ndarray, of_weight: np.ndarray
) -> None:
    """Add each row's gradient to those of its features' weights, times their values."""
    of_weight[:] = 0
    for row in range(len(offsets) - 1):
        for place in range(offsets[row], offsets[row + 1]):
            feature, value = indices[place], values[place]
            for output in range(gradient.shape[1]):
                of_weight[feature, output] += value * gradient[row, output]


def rates() -> dict[str, float]:
    """What sets the floor of a step."""
    square, narrow = torch.randn(2048, 2048), torch.randn(2048, 2048, dtype=torch.bfloat16)
    weights = torch.nn.Parameter(torch.randn(N_FEATURES, N_OUTPUTS))
    weights.grad = torch.randn_like(weights)
    optimiser = torch.optim.AdamW([weights], fused=True)
    outputs = torch.randn(N_ROWS, N_FEATURES)
    return {
        "large product, GFLOP/s": 2 * 2048**3 / milliseconds(lambda: square @ square) / 1e6,
        "large product in bfloat16, GFLOP/s": 2 * 2048**3 / milliseconds(lambda: narrow @ narrow) / 1e6,
        "AdamW, ms per million weights": milliseconds(optimiser.step) / weights.numel() * 1e6,
        "exponential of 128 x 20,000 outputs, ms": milliseconds(outputs.exp),
        "sum of 128 x 20,000 outputs, ms": milliseconds(lambda: outputs.sum(1)),
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    print(json.dumps({"layers": layers(), "likelihoods": likelihoods(), "rates": rates()}, indent=2))
