"""What must hold on a GPU; skipped where there is none."""

import numpy as np
import pytest
import torch
from tests.contracts.simulated import MOSAIC, simulate

from cellprism import CrossModalVAE

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


def trained(accelerator: str) -> CrossModalVAE:
    model = CrossModalVAE(simulate(present=MOSAIC), n_hidden=16, n_shared=4, n_private=2, seed=0)
    model.train(max_epochs=3, accelerator=accelerator, enable_progress_bar=False)
    return model


def test_training_on_a_gpu_leaves_a_model_that_answers_from_there():
    model = trained("gpu")
    assert model.module.device.type == "cuda"
    assert np.isfinite(model.get_latent_representation()).all()
    assert np.isfinite(model.translate("rna", "protein").X).all()


def test_a_model_trained_on_a_gpu_tells_the_same_after_loading_on_the_cpu(tmp_path):
    model = trained("gpu")
    expected = model.get_latent_representation()
    model.save(tmp_path / "model")
    loaded = CrossModalVAE.load(tmp_path / "model", simulate(present=MOSAIC), accelerator="cpu")
    np.testing.assert_allclose(loaded.get_latent_representation(), expected, atol=1e-4)
