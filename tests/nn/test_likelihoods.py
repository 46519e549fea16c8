"""Likelihoods against scipy, and their samples against their moments."""

import numpy as np
import pytest
import torch
from scipy import stats

from cellprism.nn import (
    Bernoulli,
    Detection,
    Gaussian,
    Likelihood,
    NegativeBinomial,
    Poisson,
    Shares,
    ZeroInflatedNegativeBinomial,
)

N_ROWS, N_FEATURES = 7, 5
RANDOM = np.random.default_rng(0)
LOG_RATE = RANDOM.normal(0.5, 1.0, (N_ROWS, N_FEATURES))
LOG_THETA = RANDOM.normal(0.0, 1.0, N_FEATURES)
LOGITS = RANDOM.normal(0.0, 2.0, (N_ROWS, N_FEATURES))
COUNTS = RANDOM.poisson(2.0, (N_ROWS, N_FEATURES)).astype(float)
BINARY = (COUNTS > 1).astype(float)
VALUES = RANDOM.normal(3.0, 2.0, (N_ROWS, N_FEATURES))
LOCATION, UNIT, LOG_SCALE = RANDOM.normal(size=N_FEATURES), RANDOM.uniform(0.5, 2, N_FEATURES), RANDOM.normal(size=5)


def tensor(values: np.ndarray) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def expected() -> Shares:
    return Shares.of_log_rate(tensor(LOG_RATE))


def negative_binomial() -> NegativeBinomial:
    return NegativeBinomial(expected(), tensor(LOG_THETA))


def scipy_negative_binomial():
    rate, theta = np.exp(LOG_RATE), np.exp(LOG_THETA)
    return stats.nbinom(theta, theta / (theta + rate))


def zero_inflated_log_probability() -> np.ndarray:
    lost = 1 / (1 + np.exp(-LOGITS))
    return np.log(lost * (COUNTS == 0) + (1 - lost) * scipy_negative_binomial().pmf(COUNTS))


CASES = {
    "poisson": (Poisson(expected()), COUNTS, stats.poisson(np.exp(LOG_RATE)).logpmf(COUNTS)),
    "negative binomial": (negative_binomial(), COUNTS, scipy_negative_binomial().logpmf(COUNTS)),
    "zero-inflated negative binomial": (
        ZeroInflatedNegativeBinomial(negative_binomial(), tensor(LOGITS)),
        COUNTS,
        zero_inflated_log_probability(),
    ),
    "detection": (
        Detection(expected()),
        BINARY,
        stats.bernoulli(1 - np.exp(-np.exp(LOG_RATE))).logpmf(BINARY.astype(int)),
    ),
    "bernoulli": (
        Bernoulli(tensor(LOGITS)),
        BINARY,
        stats.bernoulli(1 / (1 + np.exp(-LOGITS))).logpmf(BINARY.astype(int)),
    ),
    "gaussian": (
        Gaussian(tensor(LOG_RATE), tensor(LOG_SCALE), tensor(LOCATION), tensor(UNIT)),
        VALUES,
        stats.norm(LOG_RATE, np.exp(LOG_SCALE)).logpdf((VALUES - LOCATION) / UNIT),
    ),
}
VARIANCES = {
    "poisson": np.exp(LOG_RATE),
    "negative binomial": scipy_negative_binomial().var(),
    "zero-inflated negative binomial": None,
    "detection": None,
    "bernoulli": None,
    "gaussian": np.broadcast_to((np.exp(LOG_SCALE) * UNIT) ** 2, (N_ROWS, N_FEATURES)),
}


@pytest.fixture(params=CASES)
def case(request) -> tuple[Likelihood, np.ndarray, np.ndarray]:
    return CASES[request.param]


def non_zeros(observed: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rows, columns = np.nonzero(observed)
    return torch.from_numpy(rows), torch.from_numpy(columns), tensor(observed[rows, columns])


def test_log_probabilities_are_those_of_scipy(case):
    likelihood, observed, expected = case
    np.testing.assert_allclose(likelihood.log_prob(tensor(observed)).numpy(), expected.sum(1), rtol=1e-6)


def test_log_probabilities_from_non_zeros_are_those_of_scipy(case):
    likelihood, observed, expected = case
    np.testing.assert_allclose(likelihood.sparse_log_prob(*non_zeros(observed)).numpy(), expected.sum(1), rtol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_samples_have_the_mean_and_variance(name):
    torch.manual_seed(0)
    likelihood, _, _ = CASES[name]
    samples = torch.stack([likelihood.sample() for _ in range(4000)])
    mean = likelihood.mean
    error = (samples.std(0) / 4000**0.5).clamp(min=1e-3)
    assert ((samples.mean(0) - mean).abs() < 5 * error).all()
    if VARIANCES[name] is not None:
        np.testing.assert_allclose(samples.var(0).numpy(), VARIANCES[name], rtol=0.35)


def test_the_mean_of_zero_inflated_counts_counts_the_loss():
    likelihood, _, _ = CASES["zero-inflated negative binomial"]
    np.testing.assert_allclose(likelihood.mean.numpy(), np.exp(LOG_RATE) / (1 + np.exp(LOGITS)), rtol=1e-6)


def test_probabilities_of_counts_sum_to_one():
    for make in (Poisson, lambda shares: NegativeBinomial(shares, tensor(LOG_THETA[:1]))):
        support = torch.arange(400, dtype=torch.float64)[:, None]
        likelihood = make(Shares.of_log_rate(torch.full((400, 1), 1.3, dtype=torch.float64)))
        assert float(likelihood.log_prob(support).exp().sum()) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("log_rate", [-60.0, -20.0, 0.0, 5.0, 12.0])
def test_detections_are_finite_at_any_depth_and_agree_with_the_dense_form(log_rate):
    rates = torch.full((2, 3), log_rate, requires_grad=True)
    likelihood = Detection(Shares.of_log_rate(rates))
    observed = torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
    rows, columns = torch.nonzero(observed, as_tuple=True)
    from_non_zeros = likelihood.sparse_log_prob(rows, columns, observed[rows, columns])
    assert torch.isfinite(from_non_zeros).all()
    torch.testing.assert_close(from_non_zeros, likelihood.log_prob(observed), rtol=1e-4, atol=1e-4)
    from_non_zeros.sum().backward()
    assert torch.isfinite(rates.grad).all()


@pytest.mark.parametrize("log_rate", [-40.0, 15.0])
@pytest.mark.parametrize("log_theta", [-8.0, 12.0])
def test_negative_binomials_are_finite_at_extreme_rates_and_dispersions(log_rate, log_theta):
    likelihood = NegativeBinomial(Shares.of_log_rate(torch.full((1, 2), log_rate)), torch.full((2,), log_theta))
    observed = torch.tensor([[0.0, 40.0]])
    assert torch.isfinite(likelihood.log_prob(observed)).all()
    rows, columns = torch.nonzero(observed, as_tuple=True)
    assert torch.isfinite(likelihood.sparse_log_prob(rows, columns, observed[rows, columns])).all()


def test_a_negative_binomial_of_large_theta_is_poisson():
    nearly = NegativeBinomial(expected(), torch.full((N_FEATURES,), 14.0, dtype=torch.float64))
    poisson, observed, _ = CASES["poisson"]
    torch.testing.assert_close(
        nearly.log_prob(tensor(observed)), poisson.log_prob(tensor(observed)), rtol=1e-4, atol=1e-4
    )
