import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from tests.contracts.small_module import outputs_of, small_module

from cellprism.latents import LatentLayout
from cellprism.objectives import Classifier, Dimensions


def labelled(outputs, modality: str) -> tuple[torch.Tensor, torch.Tensor]:
    labels = outputs.batch.labels[outputs.batch.observed[modality].cells]
    return labels >= 0, labels[labels >= 0]


def test_the_loss_is_the_cross_entropy_of_labelled_cells():
    module = small_module(Classifier())
    outputs = outputs_of(module)
    network = module.networks[0]
    for modality, found in Classifier().terms(outputs, network).items():
        known, labels = labelled(outputs, modality)
        probabilities = network(outputs.samples[modality, "shared"][known]).double().softmax(1).detach().numpy()
        assert float(found.detach()) == pytest.approx(log_loss(labels, probabilities), rel=1e-5)


def test_the_loss_is_zero_where_every_class_is_told_apart(with_latents):
    module = small_module(Classifier())
    outputs = outputs_of(module)
    latents = {}
    for modality, observed in outputs.batch.observed.items():
        labels = outputs.batch.labels[observed.cells].clamp(min=0)
        latents[modality] = 50 * torch.nn.functional.one_hot(labels, 3).float()
    torch.nn.init.eye_(module.networks[0].weight)
    torch.nn.init.zeros_(module.networks[0].bias)
    told_apart = with_latents(module, latents)
    assert float(Classifier().loss(told_apart, module.networks[0]).detach()) == pytest.approx(0, abs=1e-6)
    metrics = Classifier().metrics(told_apart, module.networks[0])
    assert {name: float(value) for name, value in metrics.items()} == {"accuracy_rna": 1, "accuracy_protein": 1}


def test_unlabelled_cells_do_not_count(with_latents):
    module = small_module(Classifier())
    outputs = outputs_of(module)
    latents = {m: outputs.samples[m, "shared"].detach().clone() for m in ("rna", "protein")}
    before = float(Classifier().loss(with_latents(module, latents), module.networks[0]).detach())
    for modality, latent in latents.items():
        known, _ = labelled(outputs, modality)
        assert (~known).any()
        latent[~known] = 100
    assert float(Classifier().loss(with_latents(module, latents), module.networks[0]).detach()) == before


def test_a_classifier_without_labels_says_what_to_register():
    dimensions = Dimensions(("a", "b"), LatentLayout.split(["a", "b"], n_shared=2, n_private=0), 0, 0)
    with pytest.raises(ValueError, match="Classifier needs labels; register them with setup_mudata"):
        Classifier().build(dimensions)


def test_accuracy_is_the_share_of_labelled_cells_told_right(with_latents):
    module = small_module(Classifier())
    outputs = outputs_of(module)
    metrics = Classifier().metrics(outputs, module.networks[0])
    known, labels = labelled(outputs, "rna")
    predicted = module.networks[0](outputs.samples["rna", "shared"][known]).argmax(1)
    np.testing.assert_allclose(float(metrics["accuracy_rna"]), float((predicted == labels).float().mean()))
