r"""Distributions of measurements given latents. Each gives a log-likelihood per row, a mean and samples."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from cellprism.nn._ratios import ratios_to_dispersion
from cellprism.nn._shares import Shares

Values = Float[Tensor, "rows features"]


class Likelihood(ABC):
    """A distribution with one row per cell and independent features."""

    @abstractmethod
    def log_prob(self, observed: Values) -> Float[Tensor, " rows"]:
        """Log-likelihood of each row, summed over features; unit: nats."""

    def sparse_log_prob(
        self, rows: Int[Tensor, " stored"], columns: Int[Tensor, " stored"], values: Float[Tensor, " stored"]
    ) -> Float[Tensor, " rows"]:
        """Log-likelihood of each row of a sparse matrix, given by its non-zeros.

        Equal to :meth:`log_prob` of the dense matrix; likelihoods of counts override it to spare the zeros.
        """
        zeros = torch.zeros_like(self.mean)
        return self.log_prob(zeros.index_put((rows, columns), values))

    @property
    @abstractmethod
    def mean(self) -> Values:
        """Expected values."""

    @abstractmethod
    def sample(self) -> Values:
        """Draw one value each."""


@dataclass(frozen=True)
class Poisson(Likelihood):
    """Counts with variance equal to the mean.

    Parameters
    ----------
    expected
        Expected counts.
    """

    expected: Shares

    def log_prob(self, observed: Values) -> Float[Tensor, " rows"]:
        """Log-likelihood of counts."""
        log_rate = self.expected.log_rate
        return (observed * log_rate - log_rate.exp() - torch.lgamma(observed + 1)).sum(1)

    def sparse_log_prob(
        self, rows: Int[Tensor, " stored"], columns: Int[Tensor, " stored"], values: Float[Tensor, " stored"]
    ) -> Float[Tensor, " rows"]:
        """As the dense form: the rates, which add up to the depth, and the rest at the non-zeros."""
        rest = values * self.expected.log_rate_at(rows, columns) - torch.lgamma(values + 1)
        return (-self.expected.depth).index_add(0, rows, rest)

    @property
    def mean(self) -> Values:
        """Expected counts."""
        return self.expected.rate

    def sample(self) -> Values:
        """Draw counts."""
        return torch.poisson(self.mean)


@dataclass(frozen=True)
class NegativeBinomial(Likelihood):
    r"""Counts with variance :math:`\mu + \mu^2 / \theta`.

    Parameters
    ----------
    expected
        :math:`\mu`.
    log_inverse_dispersion
        :math:`\log \theta`, one per feature.
    """

    expected: Shares
    log_inverse_dispersion: Float[Tensor, " features"]

    def log_probs(self, observed: Values) -> Values:
        """Log-likelihood of each value."""
        log_rate, theta = self.expected.log_rate, self.log_inverse_dispersion.exp()
        log_total = torch.logaddexp(log_rate, self.log_inverse_dispersion)
        coefficient = torch.lgamma(observed + theta) - torch.lgamma(theta) - torch.lgamma(observed + 1)
        return coefficient + theta * (self.log_inverse_dispersion - log_total) + observed * (log_rate - log_total)

    def log_prob(self, observed: Values) -> Float[Tensor, " rows"]:
        """Log-likelihood of counts."""
        return self.log_probs(observed).sum(1)

    def sparse_log_prob(
        self, rows: Int[Tensor, " stored"], columns: Int[Tensor, " stored"], values: Float[Tensor, " stored"]
    ) -> Float[Tensor, " rows"]:
        r"""As the dense form, with the gamma functions at the non-zeros only.

        At zero the log-likelihood is :math:`-\theta \log(1 + \mu / \theta)`; at :math:`x > 0` it has
        :math:`\log\Gamma(x + \theta) - \log\Gamma(\theta) - \log x! + x \log(\mu / (\mu + \theta))` more.
        """
        at_zero, log_ratio = ratios_to_dispersion(self.expected, self.log_inverse_dispersion, rows, columns)
        return at_zero.index_add(0, rows, self.beyond_zero(columns, values, log_ratio))

    def beyond_zero(
        self,
        columns: Int[Tensor, " stored"],
        values: Float[Tensor, " stored"],
        log_ratio: Float[Tensor, " stored"],
    ) -> Float[Tensor, " stored"]:
        r"""How much more likely values are than zero, at :math:`\log(\mu / \theta)`; unit: nats."""
        theta = self.log_inverse_dispersion.exp()
        coefficient = torch.lgamma(values + theta.index_select(0, columns)) - torch.lgamma(theta)[columns]
        return coefficient - torch.lgamma(values + 1) + values * F.logsigmoid(log_ratio)

    @property
    def mean(self) -> Values:
        """Expected counts."""
        return self.expected.rate

    def sample(self) -> Values:
        """Draw counts as Poisson with a gamma-distributed rate."""
        mean = self.mean
        theta = self.log_inverse_dispersion.exp().expand_as(mean)
        return torch.poisson(torch._standard_gamma(theta) * mean / theta)


@dataclass(frozen=True)
class ZeroInflatedNegativeBinomial(Likelihood):
    r"""Negative binomial counts, of which a share :math:`\pi` is lost and read as zero.

    Parameters
    ----------
    counts
        The distribution before loss.
    dropout_logits
        Logits of :math:`\pi`.
    """

    counts: NegativeBinomial
    dropout_logits: Values

    def log_prob(self, observed: Values) -> Float[Tensor, " rows"]:
        """Log-likelihood of counts."""
        kept = self.counts.log_probs(observed) + F.logsigmoid(-self.dropout_logits)
        lost = F.logsigmoid(self.dropout_logits)
        return torch.where(observed > 0, kept, torch.logaddexp(kept, lost)).sum(1)

    def sparse_log_prob(
        self, rows: Int[Tensor, " stored"], columns: Int[Tensor, " stored"], values: Float[Tensor, " stored"]
    ) -> Float[Tensor, " rows"]:
        r"""As the dense form, with the gamma functions at the non-zeros only.

        With :math:`\nu` the log-likelihood of zero before loss and :math:`d` the logits of loss, that of zero is
        :math:`\log(e^\nu + e^d) - \log(1 + e^d)`; other values lack :math:`e^d` in the first term.
        """
        log_ratio = self.counts.expected.log_rate - self.counts.log_inverse_dispersion
        before_loss = -self.counts.log_inverse_dispersion.exp() * F.softplus(log_ratio)
        with_loss = torch.logaddexp(before_loss, self.dropout_logits)
        places = rows * log_ratio.shape[1] + columns
        without_loss, ratio = (x.flatten().index_select(0, places) for x in (before_loss - with_loss, log_ratio))
        gain = without_loss + self.counts.beyond_zero(columns, values, ratio)
        at_zero = (with_loss - F.softplus(self.dropout_logits)).sum(1)
        return at_zero.index_add(0, rows, torch.where(values > 0, gain, 0.0))

    @property
    def mean(self) -> Values:
        """Expected counts, loss included."""
        return self.counts.mean * torch.sigmoid(-self.dropout_logits)

    def sample(self) -> Values:
        """Draw counts."""
        kept = torch.bernoulli(torch.sigmoid(-self.dropout_logits))
        return self.counts.sample() * kept


@dataclass(frozen=True)
class Detection(Likelihood):
    r"""Whether at least one of a Poisson number of fragments was seen: a Bernoulli that knows the depth.

    .. math:: P(x = 1) = 1 - e^{-\lambda}

    Parameters
    ----------
    expected
        :math:`\lambda`, the expected number of fragments.
    """

    expected: Shares

    def log_prob(self, observed: Values) -> Float[Tensor, " rows"]:
        """Log-likelihood of values in {0, 1}."""
        rate = self.expected.rate.clamp(min=1e-12)
        return torch.where(observed > 0, torch.log(-torch.expm1(-rate)), -rate).sum(1)

    def sparse_log_prob(
        self, rows: Int[Tensor, " stored"], columns: Int[Tensor, " stored"], values: Float[Tensor, " stored"]
    ) -> Float[Tensor, " rows"]:
        r"""As the dense form: :math:`-\lambda` everywhere, which add up to the depth, and more at the non-zeros.

        There it has :math:`\log(e^\lambda - 1)` more.
        """
        gain = _LogDetection.apply(self.expected.log_rate_at(rows, columns))
        return (-self.expected.depth).index_add(0, rows, torch.where(values > 0, gain, 0.0))

    @property
    def mean(self) -> Values:
        """Probability of detection."""
        return -self.expected.rate.neg_().expm1_()

    def sample(self) -> Values:
        """Draw values in {0, 1}."""
        return torch.bernoulli(self.mean)


class _LogDetection(torch.autograd.Function):
    r""":math:`\log(e^\lambda - 1)` of :math:`\log \lambda`, in a form that does not overflow."""

    @staticmethod
    def forward(ctx: Any, log_rate: Tensor) -> Tensor:
        rate = log_rate.exp().clamp(min=1e-12)
        detected = -torch.expm1(-rate)
        ctx.save_for_backward(rate / detected)
        return rate + detected.log()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gradient * ctx.saved_tensors[0]


@dataclass(frozen=True)
class Bernoulli(Likelihood):
    """Values in {0, 1}.

    Parameters
    ----------
    logits
        Log-odds of one.
    """

    logits: Values

    def log_prob(self, observed: Values) -> Float[Tensor, " rows"]:
        """Log-likelihood of values in {0, 1}."""
        return -F.binary_cross_entropy_with_logits(self.logits, observed, reduction="none").sum(1)

    @property
    def mean(self) -> Values:
        """Probability of one."""
        return torch.sigmoid(self.logits)

    def sample(self) -> Values:
        """Draw values in {0, 1}."""
        return torch.bernoulli(self.mean)


@dataclass(frozen=True)
class Gaussian(Likelihood):
    r"""Continuous values, given on a standardised scale.

    Parameters
    ----------
    standard_mean
        Mean in units of the training cells' standard deviation, from their mean.
    log_scale
        Logarithm of the residual standard deviation in the same units, one per feature.
    location, unit
        Mean and standard deviation of the training cells, to return to the scale of the data.
    """

    standard_mean: Values
    log_scale: Float[Tensor, " features"]
    location: Float[Tensor, " features"]
    unit: Float[Tensor, " features"]

    def log_prob(self, observed: Values) -> Float[Tensor, " rows"]:
        """Log-density of values on the scale of the data, in units of the standardised scale."""
        residual = ((observed - self.location) / self.unit - self.standard_mean) / self.log_scale.exp()
        return -(0.5 * residual**2 + self.log_scale + 0.5 * torch.log(torch.tensor(2 * torch.pi))).sum(1)

    @property
    def mean(self) -> Values:
        """Expected values on the scale of the data."""
        return self.standard_mean * self.unit + self.location

    def sample(self) -> Values:
        """Draw values on the scale of the data."""
        return torch.randn_like(self.standard_mean) * self.log_scale.exp() * self.unit + self.mean
