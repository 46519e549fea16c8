import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from tests.contracts.simulated import MOSAIC, simulate

from cellprism import CrossModalVAE
from cellprism.objectives import Critic

SETTINGS = {"n_hidden": 16, "n_shared": 4, "n_private": 2, "seed": 0}


class SeenTypes(Callback):
    """Remember in which type decoders computed."""

    def __init__(self) -> None:
        self.types: set[torch.dtype] = set()

    def on_train_start(self, trainer, pl_module):
        for module in pl_module.module.modules():
            if isinstance(module, torch.nn.Linear):
                module.register_forward_hook(lambda _, inputs, output: self.types.add(output.dtype))


def trained(precision: str, *callbacks: Callback, labels_key: str | None = None) -> CrossModalVAE:
    mdata = simulate(60, present=MOSAIC | {"protein": range(20, 60)})
    CrossModalVAE.setup_mudata(mdata, labels_key=labels_key)
    model = CrossModalVAE(mdata, **SETTINGS)
    model = CrossModalVAE(mdata, objectives=[*model.objectives, Critic()], **SETTINGS)
    model.train(max_epochs=8, batch_size=20, precision=precision, callbacks=callbacks, enable_progress_bar=False)
    return model


@pytest.mark.parametrize("labels_key", [None, "label"])
def test_mixed_precision_reaches_the_loss_of_single_precision(labels_key):
    seen = SeenTypes()
    mixed, single = trained("bf16-mixed", seen, labels_key=labels_key), trained("32-true", labels_key=labels_key)
    assert torch.bfloat16 in seen.types
    for name in ("train_loss_epoch", "reconstruction_rna_train"):
        np.testing.assert_allclose(mixed.history[name], single.history[name], rtol=0.03)


def test_weights_and_latents_stay_in_single_precision():
    model = trained("bf16-mixed")
    assert {parameter.dtype for parameter in model.module.parameters()} == {torch.float32}
    assert model.get_latent_representation().dtype == np.float32
