"""Networks and distributions that know no biology."""

from cellprism.nn._conv import ConvDecoder, ConvEncoder, TransposedConv, halved
from cellprism.nn._critic import CriticNetwork
from cellprism.nn._expected_depth import ExpectedDepth
from cellprism.nn._geometry import flip_and_turn, turn_and_shift
from cellprism.nn._image_likelihoods import BernoulliPixels, GaussianPixels, ImageLikelihood
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
from cellprism.nn._output_linear import OutputLinear
from cellprism.nn._shares import Shares
from cellprism.nn._sparse_linear import SparseLinear
from cellprism.nn._structural_similarity import structural_similarity

__all__ = [
    "MLP",
    "Bernoulli",
    "BernoulliPixels",
    "ConvDecoder",
    "ConvEncoder",
    "CriticNetwork",
    "Detection",
    "ExpectedDepth",
    "Gaussian",
    "GaussianPixels",
    "ImageLikelihood",
    "Likelihood",
    "NamedModules",
    "NegativeBinomial",
    "OutputLinear",
    "Poisson",
    "Shares",
    "SparseLinear",
    "TransposedConv",
    "ZeroInflatedNegativeBinomial",
    "activation",
    "flip_and_turn",
    "halved",
    "structural_similarity",
    "turn_and_shift",
]
