"""Shares of a depth: the fast path against the plain one, values and gradients."""

import pytest
import torch
from torch.autograd import gradcheck

from cellprism.nn import Detection, NegativeBinomial, Poisson, Shares, ZeroInflatedNegativeBinomial

N_ROWS, N_FEATURES = 6, 50


def drawn(dtype: torch.dtype = torch.float64, spread: float = 2.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, depths, and counts with a row that has none."""
    generator = torch.Generator().manual_seed(0)
    logits = spread * torch.randn(N_ROWS, N_FEATURES, generator=generator, dtype=dtype)
    depth = 20 + 100 * torch.rand(N_ROWS, generator=generator, dtype=dtype)
    counts = torch.poisson(Shares(logits, depth).rate, generator)
    counts[2] = 0
    return logits, depth, counts


def non_zeros(counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rows, columns = torch.nonzero(counts, as_tuple=True)
    return rows, columns, counts[rows, columns]


def test_rates_add_up_to_the_depth():
    logits, depth, _ = drawn()
    torch.testing.assert_close(Shares(logits, depth).rate.sum(1), depth)


def test_shares_of_rates_are_these_rates():
    logits, _, _ = drawn()
    torch.testing.assert_close(Shares.of_log_rate(logits).log_rate, logits)


def test_log_rates_at_some_places_are_those_of_all():
    logits, depth, counts = drawn()
    rows, columns, _ = non_zeros(counts)
    shares = Shares(logits, depth)
    torch.testing.assert_close(shares.log_rate_at(rows, columns), shares.log_rate[rows, columns])


def test_gradients_of_log_rates_at_some_places_are_those_of_finite_differences():
    logits, depth, counts = drawn()
    rows, columns, _ = non_zeros(counts)
    assert gradcheck(
        lambda a, d: Shares(a, d).log_rate_at(rows, columns), (logits.requires_grad_(), depth.requires_grad_())
    )


MAKE = {
    "poisson": lambda shares, log_theta, lost: Poisson(shares),
    "negative binomial": lambda shares, log_theta, lost: NegativeBinomial(shares, log_theta),
    "zero-inflated": lambda shares, log_theta, lost: ZeroInflatedNegativeBinomial(
        NegativeBinomial(shares, log_theta), lost
    ),
    "detection": lambda shares, log_theta, lost: Detection(shares),
}


@pytest.mark.parametrize("spread", [2.0, 30.0], ids=["usual", "shares below the smallest number"])
@pytest.mark.parametrize("kind", MAKE)
def test_sparse_and_dense_scores_agree_in_single_precision_gradients_included(kind, spread):
    logits, depth, counts = drawn(torch.float32, spread)
    counts = (counts > 0).float() if kind == "detection" else counts
    plain, fast = (scored(kind, logits, depth, counts, is_sparse=is_sparse) for is_sparse in (False, True))
    for name, values in plain.items():
        assert float((fast[name] - values).abs().max() / values.abs().max()) < 1e-5, name


def scored(
    kind: str, logits: torch.Tensor, depth: torch.Tensor, counts: torch.Tensor, *, is_sparse: bool
) -> dict[str, torch.Tensor]:
    """Log-likelihoods, and the gradients of their sum."""
    logits, log_theta = logits.clone().requires_grad_(), torch.linspace(-2, 2, N_FEATURES).requires_grad_()
    lost = torch.linspace(-3, 3, logits.numel()).reshape(logits.shape).requires_grad_()
    likelihood = MAKE[kind](Shares(logits, depth), log_theta, lost)
    values = likelihood.sparse_log_prob(*non_zeros(counts)) if is_sparse else likelihood.log_prob(counts)
    values.sum().backward()
    gradients = {"of logits": logits.grad, "of dispersions": log_theta.grad, "of losses": lost.grad}
    return {"values": values.detach()} | {name: grad for name, grad in gradients.items() if grad is not None}


def test_a_row_without_counts_is_scored_by_its_depth():
    logits, depth, counts = drawn()
    scores = Poisson(Shares(logits, depth)).sparse_log_prob(*non_zeros(counts))
    assert float(scores[2]) == pytest.approx(-float(depth[2]))
