from dataclasses import replace

import pytest
import torch
from scipy import stats
from tests.contracts.small_module import outputs_of, small_dataset, small_module

from cellprism.latents import LatentLayout
from cellprism.modalities import Covariates
from cellprism.objectives import (
    CrossReconstruction,
    Dimensions,
    JointReconstruction,
    MatchedReconstruction,
    Reconstruction,
    SharedReconstruction,
)

OWN_BLOCKS = {"full": ("shared", "protein"), "shared": ("shared",)}


def direct_loss(module, outputs, latent, path, rows=slice(None)) -> float:
    """Negative log-density of proteins by scipy, per feature."""
    observed = outputs.batch.observed["protein"]
    batches = module.one_hot(outputs.batch.batch_codes[observed.cells[rows]])
    coder = module.coders["protein"]
    decoded = coder.decode(path, latent, Covariates(batches, torch.ones(len(latent))))
    values = (observed.rows.dense()[rows] - coder.location) / coder.unit
    scale = decoded.log_scale.exp().detach().numpy()
    log_density = stats.norm(decoded.standard_mean.detach().numpy(), scale).logpdf(values.numpy())
    return -log_density.mean()


@pytest.mark.parametrize(("objective", "path"), [(Reconstruction(), "full"), (SharedReconstruction(), "shared")])
def test_reconstruction_is_the_mean_negative_log_density_per_feature(objective, path):
    module = small_module(objective)
    outputs = outputs_of(module)
    latent = torch.cat([outputs.samples["protein", block] for block in OWN_BLOCKS[path]], dim=1)
    found = float(objective.terms(outputs, module.networks[0])["protein"].detach())
    assert found == pytest.approx(direct_loss(module, outputs, latent, path), rel=1e-5)


def test_cross_reconstruction_decodes_the_other_modality_of_paired_cells():
    objective = CrossReconstruction()
    module = small_module(objective)
    outputs = outputs_of(module)
    in_rna, in_protein = outputs.batch.pairs("rna", "protein")
    expected = direct_loss(module, outputs, outputs.samples["rna", "shared"][in_rna], "shared", in_protein)
    terms = objective.terms(outputs, module.networks[0])
    assert float(terms["rna_to_protein"].detach()) == pytest.approx(expected, rel=1e-5)
    assert terms.keys() == {"rna_to_protein", "protein_to_rna"}


def test_joint_reconstruction_decodes_the_product_of_experts():
    objective = JointReconstruction()
    module = small_module(objective)
    outputs = outputs_of(module)
    cells = torch.arange(8, 16)
    rows = torch.arange(8)
    joint = outputs.joint_posterior("shared").mean[cells]
    latent = torch.cat([joint, outputs.samples["protein", "protein"][rows]], dim=1)
    expected = direct_loss(module, outputs, latent, "full", rows)
    assert float(objective.terms(outputs, module.networks[0])["protein"].detach()) == pytest.approx(expected, rel=1e-5)


def test_without_private_blocks_there_is_nothing_to_reconstruct_from_shared_ones_alone():
    module = small_module(SharedReconstruction(), n_private=0)
    assert SharedReconstruction().terms(outputs_of(module), module.networks[0]) == {}


@pytest.mark.parametrize("objective", [CrossReconstruction(), JointReconstruction()])
def test_unpaired_cells_do_not_pretend(objective):
    module = small_module(objective)
    unpaired = small_dataset({"rna": range(12), "protein": range(12, 24)})
    outputs = module(unpaired.take(torch.arange(24)))
    assert objective.terms(outputs, module.networks[0]) == {}
    assert objective.loss(outputs, module.networks[0]) == 0


# ---- from cells of the same class


def labelled_alike(labels: list[int]):
    """Protein's latents say which class a cell has; two cells of RNA alone, two of protein alone."""
    module = small_module(MatchedReconstruction())
    batch = small_dataset({"rna": range(12), "protein": range(12, 24)}).take(torch.tensor([0, 1, 12, 13]))
    return module, module(replace(batch, labels=torch.tensor(labels)))


def test_matched_reconstruction_decodes_a_cell_of_the_same_class():
    module, outputs = labelled_alike([0, 1, 1, 0])
    latent = outputs.samples["rna", "shared"][torch.tensor([1, 0])]
    terms = MatchedReconstruction().terms(outputs, module.networks[0])
    expected = direct_loss(module, outputs, latent, "shared")
    assert float(terms["rna_to_protein"].detach()) == pytest.approx(expected, rel=1e-5)
    assert terms.keys() == {"rna_to_protein", "protein_to_rna"}


def test_matched_reconstruction_passes_over_cells_without_a_match():
    module, outputs = labelled_alike([0, 1, 1, -1])
    terms = MatchedReconstruction().terms(outputs, module.networks[0])
    expected = direct_loss(module, outputs, outputs.samples["rna", "shared"][1:], "shared", slice(0, 1))
    assert float(terms["rna_to_protein"].detach()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("labels", [[0, 0, 1, 1], [-1, -1, -1, -1], [-1, 0, -1, 1]])
def test_without_a_common_class_there_is_nothing_to_match(labels):
    module, outputs = labelled_alike(labels)
    assert MatchedReconstruction().terms(outputs, module.networks[0]) == {}


def test_matched_reconstruction_moves_decoders_only():
    module = small_module(MatchedReconstruction())
    MatchedReconstruction().loss(outputs_of(module), module.networks[0]).backward()
    for coder in module.coders.values():
        assert coder.first.weight.grad is None
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in coder.decoders["shared"].parameters())


def test_matched_reconstruction_without_labels_says_what_to_register():
    dimensions = Dimensions(("a", "b"), LatentLayout.split(["a", "b"], n_shared=2, n_private=0), 0, 0)
    with pytest.raises(ValueError, match="MatchedReconstruction needs labels; register them with setup_mudata"):
        MatchedReconstruction().build(dimensions)
