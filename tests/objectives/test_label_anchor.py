import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.special import log_softmax
from tests.contracts.small_module import outputs_of, small_module

from cellprism.latents import LatentLayout
from cellprism.objectives import Dimensions, LabelAnchor
from cellprism.objectives._label_anchor import class_contrastive


def views(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return (
        random.normal(size=(6, 3)),
        np.array([0, 0, 1, 1, 2, 2]),
        random.normal(size=(5, 3)),
        np.array([0, 0, 1, 1, 1]),
    )


def reference(first, first_labels, second, second_labels, sharpness) -> float:
    logits = -sharpness * cdist(first, second, "sqeuclidean") / first.shape[1]
    agrees = first_labels[:, None] == second_labels[None]
    found = []
    for scores, same in ((logits, agrees), (logits.T, agrees.T)):
        shares = log_softmax(scores, axis=1)
        found.append(np.mean([-shares[i, same[i]].mean() for i in range(len(same)) if same[i].any()]))
    return float(np.mean(found))


def as_tensors(parts):
    return tuple(torch.from_numpy(part) for part in parts)


def test_the_loss_is_the_cross_entropy_of_finding_the_class():
    found = class_contrastive(*as_tensors(views()), torch.tensor(1.7, dtype=torch.float64))
    assert float(found) == pytest.approx(reference(*views(), 1.7), rel=1e-6)


def test_classes_far_apart_and_tight_cost_what_telling_members_apart_would():
    labels = torch.tensor([0, 0, 1, 1, 1])
    latent = 100 * torch.nn.functional.one_hot(labels, 2).double()
    found = class_contrastive(latent, labels, latent, labels, torch.tensor(1.0, dtype=torch.float64))
    assert float(found) == pytest.approx((2 * np.log(2) + 3 * np.log(3)) / 5, rel=1e-6)


def test_classes_at_one_place_cost_the_logarithm_of_the_number_of_cells():
    labels = torch.tensor([0, 0, 1, 1])
    latent = torch.zeros(4, 3)
    assert float(class_contrastive(latent, labels, latent, labels, torch.tensor(1.0))) == pytest.approx(np.log(4))


def test_cells_whose_class_the_other_modality_lacks_only_repel():
    first, first_labels, second, second_labels = as_tensors(views())
    alone = first.clone().requires_grad_(True)
    class_contrastive(alone, first_labels, second, second_labels, torch.tensor(1.0, dtype=torch.float64)).backward()
    in_neither_query = alone.grad[4:]
    assert float(in_neither_query.abs().sum()) > 0
    moved = first.clone()
    moved[4:] -= 0.1 * in_neither_query
    nearest = [torch.cdist(x[4:], second).square().mean() for x in (first, moved)]
    assert nearest[1] > nearest[0]


def test_unlabelled_cells_do_not_count(with_latents):
    module = small_module(LabelAnchor())
    outputs = outputs_of(module)
    latents = {m: outputs.posteriors[m, "shared"].mean.detach().clone() for m in ("rna", "protein")}
    before = float(LabelAnchor().loss(with_latents(module, latents), module.networks[0]).detach())
    for modality, latent in latents.items():
        unknown = outputs.batch.labels[outputs.batch.observed[modality].cells] < 0
        assert unknown.any()
        latent[unknown] = 100
    assert float(LabelAnchor().loss(with_latents(module, latents), module.networks[0]).detach()) == before


@pytest.mark.parametrize(("names", "n_classes", "message"), [
    (["a", "b"], 0, "LabelAnchor needs labels; register them with setup_mudata"),
    (["a"], 3, "LabelAnchor needs a block that two modalities see"),
])  # fmt: skip
def test_what_is_lacking_is_named(names, n_classes, message):
    dimensions = Dimensions(tuple(names), LatentLayout.split(names, n_shared=2, n_private=0), n_classes, 0)
    with pytest.raises(ValueError, match=message):
        LabelAnchor().build(dimensions)
