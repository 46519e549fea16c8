"""Networks and distributions that know no biology."""

from cellprism.nn._critic import CriticNetwork
from cellprism.nn._expected_depth import ExpectedDepth
from cellprism.nn._likelihoods import (
    Bernoulli,
    Detection,
    Gaussian,
    Likelihood,
    NegativeBinomial,
    Poisson,
    ZeroInflatedNegativeBinomial,
)
from cellprism.nn._mlp import MLP, activation
from cellprism.nn._named import NamedModules
from cellprism.nn._sparse_linear import SparseLinear

__all__ = [
    "MLP",
    "Bernoulli",
    "CriticNetwork",
    "Detection",
    "ExpectedDepth",
    "Gaussian",
    "Likelihood",
    "NamedModules",
    "NegativeBinomial",
    "Poisson",
    "SparseLinear",
    "ZeroInflatedNegativeBinomial",
    "activation",
]
