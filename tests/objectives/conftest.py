from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from tests.contracts.small_module import outputs_of

from cellprism.latents import Posterior
from cellprism.module import LatentModule, Outputs


def _with_latents(module: LatentModule, latents: dict[str, torch.Tensor], batch=None) -> Outputs:
    outputs = outputs_of(module, batch)
    given = {(name, "shared"): latent for name, latent in latents.items()}
    posteriors = {key: Posterior(latent, torch.zeros_like(latent)) for key, latent in given.items()}
    return replace(outputs, posteriors=outputs.posteriors | posteriors, samples=outputs.samples | given)


@pytest.fixture(scope="session")
def with_latents() -> Callable[..., Outputs]:
    """Outputs whose shared latents are given."""
    return _with_latents
