"""Compiled networks compute what plain ones do; in a process of its own, without the checks of shapes."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

TRAIN = """
from tests.contracts.simulated import simulate
from cellprism import CrossModalVAE
from cellprism.training._compiled import COMPILED

model = CrossModalVAE(simulate(), n_shared=2, n_private=0, n_hidden=8, dropout_rate=0, input_dropout_rate=0, seed=0)
model.train(max_epochs=2, enable_progress_bar=False, accelerator="cpu", compile={compile})
assert not any(name in vars(coder) for coder in model.module.coders.values() for name in COMPILED)
print("losses", *model.history["train_loss_epoch"]["train_loss_epoch"])
"""


def losses(*, compile: bool) -> list[float]:
    script = TRAIN.format(compile=compile)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return [float(loss) for loss in run.stdout.splitlines()[-1].split()[1:]]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_model_reaches_the_loss_of_a_plain_one_and_is_plain_afterwards():
    np.testing.assert_allclose(losses(compile=True), losses(compile=False), rtol=1e-3)
