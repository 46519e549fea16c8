import subprocess
import sys

import pytest

HEAVY = ["anndata", "matplotlib", "mudata", "scanpy", "scvi", "skimage", "sklearn", "torch", "umap"]


@pytest.mark.parametrize("namespace", ["pp", "tl", "pl", "datasets"])
def test_a_namespace_imports_no_heavy_library_before_it_is_used(namespace):
    command = f"import sys, cellprism.{namespace}; print([name for name in {HEAVY} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
