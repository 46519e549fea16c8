"""The published model of images and expression, in sizes that train in seconds."""

import numpy as np
import pytest
from tests.contracts.pictures import UNPAIRED, simulate_images

from cellprism import CrossModalVAE, pp
from cellprism.modalities import Images, StridedConvolutions

SMALL = {"n_shared": 4, "n_hidden": 8, "n_layers": 1, "widths": (4, 4, 8), "seed": 0}


def test_it_has_the_terms_and_the_layout_of_the_paper():
    mdata = simulate_images(present=UNPAIRED)
    model = CrossModalVAE.as_published(mdata, "image", labels_key="label", **SMALL)
    assert [objective.name for objective in model.objectives] == ["reconstruction", "kl", "critic", "classifier"]
    assert model.layout.names == ("shared",)
    images = model.registration.modalities["image"]
    assert isinstance(images, Images)
    assert images.networks == StridedConvolutions((4, 4, 8))
    assert not images.augmentation.flips


def test_images_come_first_and_stay_as_they_were_learnt():
    mdata = simulate_images(present=UNPAIRED)
    model = CrossModalVAE.as_published(mdata, "image", labels_key="label", **SMALL)
    model.train(max_epochs=2, pretrain="image", pretrain_epochs=3, enable_progress_bar=False)
    assert model.history["reconstruction_rna_train"].index.tolist() == [3, 4]
    assert model.history["critic_accuracy_train"].index.tolist() == [3, 4]
    translated = model.translate("rna", "image").obsm["image"]
    assert ((translated >= 0) & (translated <= 1)).all()


def test_its_own_sizes_are_those_of_the_paper_for_images_of_64_pixels():
    mdata = simulate_images(present=UNPAIRED)
    pp.resize_images(mdata["image"], 64)
    model = CrossModalVAE.as_published(mdata, "image", labels_key="label", seed=0)
    assert model.layout["shared"].width == 128
    coder = model.module.coders["image"]
    assert [layer.out_channels for layer in coder.encoder if hasattr(layer, "out_channels")] == [
        128,
        256,
        512,
        1024,
        1024,
    ]
    assert np.prod(model.registration.modalities["image"].shape(mdata["image"])[1:]) == 64 * 64


def test_a_modality_of_images_that_is_not_there_offers_the_closest():
    with pytest.raises(KeyError, match=r"no modality 'imag'\. Did you mean 'image'"):
        CrossModalVAE.as_published(simulate_images(), "imag", labels_key="label")
