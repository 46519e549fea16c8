import os
import sys
from pathlib import Path

import jaxtyping
import matplotlib
import pytest
import tests.typechecker  # noqa: F401  (the hook below looks it up by name)

# Shapes and types stated in signatures are checked in every test. The hook acts on later imports only.
jaxtyping.install_import_hook("cellprism", "tests.typechecker.checked")
matplotlib.use("Agg")

REPOSITORY = Path(__file__).resolve().parents[1]
N_THREADS = 1


@pytest.fixture(autouse=True)
def _few_threads():
    """Keep torch to one thread, which is fastest for small data, without importing it for tests that do not use it."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(N_THREADS)


@pytest.fixture
def unchecked_types():
    """Let the code itself refuse wrong types, as it does for a user."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data sets that do not travel with the package."""
    folder = Path(os.environ.get("CELLPRISM_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data sets at {folder}; set CELLPRISM_DATA to the folder that holds them")
    return folder
