import numpy as np
import torch
from scipy import stats

from cellprism.nn import BernoulliPixels, GaussianPixels

SHAPE = (3, 2, 4, 5)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def gaussian() -> GaussianPixels:
    location = torch.rand(1, *SHAPE[1:], generator=torch.Generator().manual_seed(1))
    return GaussianPixels(
        drawn(*SHAPE), 0.3 * drawn(2, 1, 1, seed=2), location, torch.tensor([0.1, 0.3])[:, None, None]
    )


def fractions() -> torch.Tensor:
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(3))


def test_gaussian_pixels_are_scored_as_by_scipy_in_units_of_the_spread():
    likelihood, observed = gaussian(), fractions()
    mean = likelihood.location + likelihood.unit * likelihood.deviation
    of_intensities = stats.norm.logpdf(observed, mean, likelihood.unit * likelihood.log_scale.exp())
    expected = of_intensities + np.log(likelihood.unit.numpy())
    np.testing.assert_allclose(likelihood.log_probs(observed), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(likelihood.log_prob(observed), expected.sum((1, 2, 3)), rtol=1e-5)


def test_lit_pixels_are_scored_as_by_scipy():
    likelihood, observed = BernoulliPixels(drawn(*SHAPE)), (fractions() > 0.5).float()
    expected = stats.bernoulli.logpmf(observed.numpy(), likelihood.mean.numpy())
    np.testing.assert_allclose(likelihood.log_probs(observed), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(likelihood.log_prob(observed), expected.sum((1, 2, 3)), rtol=1e-5)


def test_an_intensity_is_scored_best_by_itself():
    observed = fractions()
    logits = torch.logit(observed).requires_grad_()
    BernoulliPixels(logits).log_prob(observed).sum().backward()
    torch.testing.assert_close(logits.grad, torch.zeros(SHAPE), rtol=0, atol=1e-5)


def test_expected_intensities_stay_in_the_range():
    likelihood = gaussian()
    expected = (likelihood.location + likelihood.unit * likelihood.deviation).numpy()
    assert expected.min() < 0
    np.testing.assert_array_equal(likelihood.mean.numpy(), expected.clip(0, 1))
    np.testing.assert_allclose(BernoulliPixels(drawn(*SHAPE)).mean, stats.logistic.cdf(drawn(*SHAPE)), rtol=1e-5)


def test_samples_have_the_stated_mean_and_spread():
    torch.manual_seed(0)
    shape = (4000, 1, 1, 1)
    likelihood = GaussianPixels(torch.full(shape, 0.5), torch.full((1, 1, 1), -0.7), torch.full((1, 1, 1, 1), 0.4),
                                torch.full((1, 1, 1), 0.1))  # fmt: skip
    samples = likelihood.sample()
    np.testing.assert_allclose([samples.mean(), samples.std()], [0.45, 0.1 * np.exp(-0.7)], rtol=0.05)
    lit = BernoulliPixels(torch.full(shape, 0.4)).sample()
    assert set(lit.unique().tolist()) == {0.0, 1.0}
    np.testing.assert_allclose(lit.mean(), stats.logistic.cdf(0.4), rtol=0.05)
