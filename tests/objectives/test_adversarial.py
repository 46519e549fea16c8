import numpy as np
import pytest
import torch
from tests.contracts.small_module import outputs_of, small_dataset, small_module
from torch.nn import functional as F

from cellprism.latents import LatentLayout
from cellprism.objectives import Critic, Dimensions

LAYOUT = LatentLayout.split(["rna", "protein"], n_shared=3, n_private=1)


def separated(distance: float) -> dict[str, torch.Tensor]:
    """Latents of the same distribution, then pushed apart."""
    generator = torch.Generator().manual_seed(0)
    latents = {name: torch.randn(16, 3, generator=generator) for name in ("rna", "protein")}
    latents["protein"] = latents["rna"].clone() + distance
    return latents


def train_critic(objective: Critic, module, outputs, n_steps: int = 300) -> None:
    network = module.networks[0]
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(n_steps):
        optimiser.zero_grad()
        objective.critic_loss(outputs, network).backward()
        optimiser.step()


def accuracy(objective: Critic, module, outputs) -> float:
    return float(objective.metrics(outputs, module.networks[0])["accuracy"])


@pytest.mark.parametrize("divergence", ["jensen_shannon", "least_squares"])
def test_accuracy_is_at_chance_where_latents_coincide_and_one_where_they_are_apart(divergence, with_latents):
    objective = Critic(divergence=divergence)
    for distance, expected in ((0.0, 0.5), (6.0, 1.0)):
        module = small_module(objective)
        outputs = with_latents(module, separated(distance))
        train_critic(objective, module, outputs)
        assert accuracy(objective, module, outputs) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("divergence", ["jensen_shannon", "least_squares"])
def test_each_modality_weighs_alike_whatever_its_number_of_cells(divergence, with_latents):
    objective = Critic(divergence=divergence)
    many = small_dataset({"rna": range(20), "protein": range(20, 24)})
    module = small_module(objective)
    network = module.networks[0]
    latents = {"rna": torch.ones(20, 3), "protein": torch.ones(4, 3)}
    outputs = with_latents(module, latents, many.take(torch.arange(24)))
    train_critic(objective, module, outputs)
    scores = network.critic(torch.ones(1, 3)).detach()[0]
    told = scores.softmax(0) if divergence == "jensen_shannon" else scores
    np.testing.assert_allclose(told.numpy(), [0.5, 0.5], atol=0.02)


def test_critic_losses_are_cross_entropy_and_squared_error():
    for objective in (Critic(), Critic(divergence="least_squares")):
        module = small_module(objective)
        outputs, network = outputs_of(module), module.networks[0]
        expected = []
        for column, modality in enumerate(("rna", "protein")):
            scores = network.critic(outputs.samples[modality, "shared"])
            own = torch.full((len(scores),), column)
            if objective.divergence == "jensen_shannon":
                expected.append(F.cross_entropy(scores, own))
            else:
                expected.append((scores - F.one_hot(own, 2)).square().mean())
        torch.testing.assert_close(objective.critic_loss(outputs, network), torch.stack(expected).mean())


def test_the_encoders_term_is_the_log_probability_of_being_taken_for_another():
    objective = Critic()
    module = small_module(objective)
    outputs, network = outputs_of(module), module.networks[0]
    told = network.critic(outputs.samples["rna", "shared"]).softmax(1)
    expected = -torch.log(1 - told[:, 0]).mean() / 2
    torch.testing.assert_close(objective.terms(outputs, network)["rna"], expected)


def test_the_least_squares_term_is_zero_where_the_critic_cannot_tell():
    objective = Critic(divergence="least_squares")
    module = small_module(objective)
    last = module.networks[0].critic.layers[-1]
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.constant_(last.bias, 0.5)
    assert float(objective.loss(outputs_of(module), module.networks[0]).detach()) == 0


def test_the_critic_does_not_teach_the_encoders_in_its_own_step():
    objective = Critic()
    module = small_module(objective)
    objective.critic_loss(outputs_of(module), module.networks[0]).backward()
    assert all(p.grad is None for p in module.coders.parameters())
    assert all(p.grad is not None for p in module.networks[0].parameters())


def class_swapped() -> dict[str, torch.Tensor]:
    """The same latents in both modalities, but classes in other places: only the condition tells."""
    labels = small_dataset().labels
    places = torch.tensor([[0.0, 0, 0], [4, 0, 0], [0, 4, 0], [0, 0, 4]])
    rna, protein = labels[:16], labels[8:]
    return {"rna": places[rna + 1], "protein": places[torch.where(protein >= 0, (protein + 1) % 3, -1) + 1]}


def test_a_critic_given_labels_tells_what_a_critic_without_cannot(with_latents):
    reached = {}
    for condition in (None, "labels"):
        objective = Critic(condition=condition)
        module = small_module(objective)
        outputs = with_latents(module, class_swapped())
        train_critic(objective, module, outputs)
        reached[condition] = accuracy(objective, module, outputs)
    assert reached[None] == pytest.approx(0.5, abs=0.15)
    assert reached["labels"] > 0.85


def test_a_critic_given_a_marker_tells_where_latent_and_marker_disagree(with_latents):
    markers = small_dataset().markers[:, 0]
    latents = {"rna": markers[:16, None].repeat(1, 3), "protein": -markers[8:, None].repeat(1, 3)}
    objective = Critic(condition="marker")
    module = small_module(objective)
    outputs = with_latents(module, latents)
    train_critic(objective, module, outputs)
    assert accuracy(objective, module, outputs) > 0.85


def test_an_unlabelled_cell_gives_the_critic_no_class():
    objective = Critic(condition="labels")
    outputs = outputs_of(small_module(objective))
    condition = objective._condition(outputs, "rna", 3)
    labels = outputs.batch.labels[:16]
    assert torch.equal(condition.sum(1), (labels >= 0).float())
    assert torch.equal(condition[labels >= 0].argmax(1), labels[labels >= 0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"divergence": "wasserstein"}, "Critic has divergence 'wasserstein'"),
        ({"condition": "batch"}, "Critic has condition 'batch'; expected None, 'labels' or 'marker'"),
        ({"n_steps": 0}, "Critic has n_steps=0; expected at least 1"),
    ],
)
def test_a_wrong_setting_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Critic(**settings)


@pytest.mark.parametrize(("condition", "key"), [("labels", "labels_key"), ("marker", "marker_key")])
def test_a_condition_that_was_not_registered_says_what_to_register(condition, key):
    with pytest.raises(ValueError, match=rf"needs them registered: setup_mudata\(..., {key}=...\)"):
        Critic(condition=condition).build(Dimensions(("rna", "protein"), LAYOUT, 0, 0))


def test_a_critic_needs_a_block_that_two_modalities_see():
    with pytest.raises(ValueError, match="Critic needs a block that two modalities see"):
        Critic(block="rna").build(Dimensions(("rna", "protein"), LAYOUT, 0, 0))
