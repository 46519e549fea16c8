from collections.abc import Callable
from typing import Any

import pytest
from mudata import MuData
from tests.contracts.simulated import MOSAIC, simulate

from cellprism import CrossModalVAE

QUIET: dict[str, Any] = {"enable_progress_bar": False, "accelerator": "cpu"}
SMALL: dict[str, Any] = {"n_shared": 3, "n_private": 2, "n_hidden": 8, "seed": 0}


def _trained(mdata: Any, *, modalities: Any = None, max_epochs: int = 1, setup: bool = True, **settings: Any):
    columns = {key: settings.pop(key) for key in list(settings) if key.endswith(("_key", "_category"))}
    if setup:
        CrossModalVAE.setup_mudata(mdata, modalities, **columns)
    model = CrossModalVAE(mdata, **(SMALL | settings))
    model.train(max_epochs=max_epochs, **QUIET)
    return model


@pytest.fixture(scope="session")
def train() -> Callable[..., CrossModalVAE]:
    """Set up, build and train a small model."""
    return _trained


@pytest.fixture(scope="session")
def mosaic_model() -> CrossModalVAE:
    """20 cells with RNA alone, 10 with both, 10 with protein alone; two batches; for reading only."""
    return _trained(simulate(present=MOSAIC, shuffle=True), batch_key="batch", max_epochs=3)


@pytest.fixture(scope="session")
def one_sided_model() -> CrossModalVAE:
    """Proteins were measured in batch "one" alone, of three; for reading only."""
    mdata = simulate(45, present={"rna": range(45), "protein": range(0, 45, 3)})
    place = {name: i for i, name in enumerate(simulate(45).obs_names)}
    mdata.obs["batch"] = [("one", "two", "three")[place[name] % 3] for name in mdata.obs_names]
    return _trained(mdata, batch_key="batch", max_epochs=3)


@pytest.fixture
def mosaic() -> MuData:
    """A MuData of one's own, with cells of each modality in an order of their own."""
    return simulate(present=MOSAIC, shuffle=True)
