"""What each kind feeds its encoder, and how its decoder starts, against formulas written out in numpy."""

import numpy as np
import pytest
import torch
from tests.contracts.simulated import counts, factors, linear_features

from cellprism.data import DenseRows
from cellprism.modalities import Architecture, Counts, Covariates, Features, Peaks

WIDTHS = {"full": 4, "shared": 2}
SMALL = Architecture(n_hidden=8, n_layers=1, dropout_rate=0.0)


def fitted(modality, training: np.ndarray):
    torch.manual_seed(0)
    coder = modality.coder((training.shape[1],), WIDTHS, 1, SMALL)
    coder.fit_statistics(DenseRows.from_numpy(training))
    return coder.eval()


def transformed(coder, values: np.ndarray) -> np.ndarray:
    return coder.transform(DenseRows.from_numpy(values)).dense().numpy()


@pytest.fixture
def raw() -> np.ndarray:
    return counts(factors(20), 7, 1)


def test_counts_are_scaled_to_the_median_total_and_logged(raw):
    training, other = raw[:12], raw[12:]
    median = np.sort(training.sum(1))[5]
    expected = np.log1p(other * median / other.sum(1, keepdims=True))
    np.testing.assert_allclose(transformed(fitted(Counts(), training), other), expected, rtol=1e-5)


def test_counts_do_not_depend_on_depth_before_the_encoder(raw):
    coder = fitted(Counts(), raw)
    np.testing.assert_allclose(transformed(coder, 3 * raw), transformed(coder, raw), rtol=1e-5)


def test_expected_counts_sum_to_the_observed_total(raw):
    for likelihood in ("nb", "poisson"):
        coder = fitted(Counts(likelihood=likelihood), raw)
        rows = DenseRows.from_numpy(raw)
        mean = coder.decode("full", torch.randn(20, 4), coder.covariates(rows, torch.ones(20, 1))).mean
        np.testing.assert_allclose(mean.sum(1).detach().numpy(), raw.sum(1), rtol=1e-4)


def test_the_depth_of_a_cell_without_counts_is_one():
    coder = fitted(Counts(), np.ones((3, 4), dtype=np.float32))
    assert coder.depth(DenseRows(torch.zeros(1, 4))).item() == 1


def test_peaks_are_read_as_tfidf(raw):
    training, other = raw[:12], raw[12:]
    n_open = (training > 0).sum(0)
    frequency = 1e4 * other / other.sum(1, keepdims=True)
    expected = np.log1p(frequency * np.log1p(12 / np.maximum(n_open, 1)))
    np.testing.assert_allclose(transformed(fitted(Peaks(), training), other), expected, rtol=1e-5)


def test_binary_peaks_are_read_as_zero_and_one(raw):
    np.testing.assert_array_equal(transformed(fitted(Peaks(transform="binary"), raw), raw), raw > 0)


def test_detections_are_scored_whatever_their_number(raw):
    coder = fitted(Peaks(), raw)
    likelihood = coder.decode("full", torch.randn(20, 4), Covariates(torch.ones(20, 1), torch.full((20,), 5.0)))
    once = coder.log_likelihood(likelihood, DenseRows.from_numpy(np.float32(raw > 0)))
    torch.testing.assert_close(coder.log_likelihood(likelihood, DenseRows.from_numpy(raw)), once)


def test_features_are_scaled_by_the_training_cells():
    values = linear_features(factors(20), 7, 1)
    coder = fitted(Features(), values[:12])
    np.testing.assert_allclose(coder.location.numpy(), values[:12].mean(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(coder.unit.numpy(), values[:12].std(0), rtol=1e-4)
    np.testing.assert_allclose(transformed(coder, values[12:]), values[12:] / values[:12].std(0), rtol=1e-4)


def test_features_do_not_depend_on_their_unit_or_origin():
    values = linear_features(factors(20), 7, 1)
    moved = np.float32(values * 40 + 300)
    encoded = []
    for training in (values, moved):
        coder = fitted(Features(), training)
        encoded.append(coder.encode(DenseRows.from_numpy(training), torch.ones(20, 1)).detach())
    torch.testing.assert_close(*encoded, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("modality", [Features(), Features(likelihood="bernoulli"), Counts(), Peaks()])
@pytest.mark.parametrize("shape", [(20, 7), (20, 1), (1, 7), (2, 2)])
def test_data_that_never_vary_or_hardly_exist_are_no_special_case(modality, shape):
    values = np.ones(shape, dtype=np.float32)
    coder = fitted(modality, values)
    rows = DenseRows.from_numpy(values)
    assert torch.isfinite(coder.encode(rows, torch.ones(len(values), 1))).all()
    likelihood = coder.decode("full", torch.randn(len(values), 4), coder.covariates(rows, torch.ones(len(values), 1)))
    assert torch.isfinite(coder.log_likelihood(likelihood, rows)).all()


def test_directions_in_which_training_cells_do_not_differ_do_not_dominate_the_start():
    random = np.random.default_rng(0)
    one_direction = np.float32(np.outer(random.normal(size=20), random.normal(size=7)))
    one_cell_differs = np.ones((20, 7), dtype=np.float32)
    one_cell_differs[3, 2] = 5
    for values in (one_direction, one_cell_differs):
        coder = fitted(Features(), values)
        assert float(coder.first.weight.detach().abs().max()) < 50


def test_some_inputs_are_hidden_in_training_only():
    values = np.ones((4, 2000), dtype=np.float32) * np.arange(1, 5)[:, None]
    torch.manual_seed(0)
    coder = Features().coder((2000,), WIDTHS, 1, Architecture(8, 1, 0.0, 0.5))
    coder.fit_statistics(DenseRows.from_numpy(np.float32(values)))
    rows, batches = DenseRows.from_numpy(np.float32(values)), torch.ones(4, 1)
    assert torch.equal(coder.eval().encode(rows, batches), coder.encode(rows, batches))
    assert not torch.equal(coder.train().encode(rows, batches), coder.encode(rows, batches))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Counts(likelihood="gamma"), "Counts has likelihood 'gamma'; expected 'nb', 'zinb' or 'poisson'"),
        (lambda: Peaks(likelihood="nb"), "Peaks has likelihood 'nb'"),
        (lambda: Peaks(transform="log"), "Peaks has transform 'log'; expected 'tfidf' or 'binary'"),
        (lambda: Features(likelihood="t"), "Features has likelihood 't'"),
        (lambda: Architecture(n_hidden=0), "n_hidden is 0; expected at least 1"),
        (lambda: Architecture(n_layers=0), "n_layers is 0; expected at least 1"),
        (lambda: Architecture(dropout_rate=1.0), "dropout_rate is 1.0; expected at least 0 and below 1"),
    ],
)
def test_a_wrong_setting_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
