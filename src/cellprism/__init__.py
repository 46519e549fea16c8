"""Split what was measured in single cells into the part that measurements share and the part that is each one's own."""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from cellprism import datasets, latents, modalities, objectives, pl, pp, tl
    from cellprism.data import read_backed
    from cellprism.models import Apollo, CrossModalVAE

__all__ = [
    "Apollo",
    "CrossModalVAE",
    "__version__",
    "datasets",
    "latents",
    "modalities",
    "objectives",
    "pl",
    "pp",
    "read_backed",
    "tl",
]

_MODELS = ("Apollo", "CrossModalVAE")


def __getattr__(name: str):
    """Import models and namespaces when they are first asked for: scvi-tools and torch take seconds to load."""
    if name in _MODELS:
        return getattr(import_module("cellprism.models"), name)
    if name == "read_backed":
        return import_module("cellprism.data").read_backed
    if name in __all__:
        return import_module(f"cellprism.{name}")
    raise AttributeError(f"module 'cellprism' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
