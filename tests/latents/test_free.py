import pytest
import torch
from torch.distributions import Normal, kl_divergence

from cellprism.latents import FreeLatents, LatentLayout

LAYOUT = LatentLayout.split(["rna", "atac"], n_shared=3, n_private=2)
WIDTHS = {"shared": 3, "rna": 2, "atac": 2}


def numbered(n_cells: int = 6, noise: float | None = None) -> FreeLatents:
    """Codes whose every entry says to which cell it belongs."""
    latents = FreeLatents(n_cells, LAYOUT, noise)
    codes = {name: (1.0 + torch.arange(n_cells))[:, None].expand(-1, width) for name, width in WIDTHS.items()}
    latents.set(torch.arange(n_cells), codes)
    return latents


def code_of(latents: FreeLatents, block: str, n_cells: int | None = None) -> torch.Tensor:
    return latents(torch.arange(len(latents) if n_cells is None else n_cells))[block].mean.detach()


def test_a_step_touches_the_codes_of_its_batch_alone():
    latents = numbered()
    optimiser = torch.optim.SparseAdam(list(latents.tables.parameters()), 0.1)
    for batch in ([0, 5], [2, 4]):
        optimiser.zero_grad()
        latents(torch.tensor(batch))["shared"].mean.square().sum().backward()
        gradient = latents.tables["shared"].weight.grad
        assert gradient.is_sparse
        assert gradient.coalesce().indices().flatten().tolist() == batch
        before = code_of(latents, "shared")
        optimiser.step()
        moved = (code_of(latents, "shared") != before).any(1).nonzero().flatten().tolist()
        assert moved == batch  # although the momentum of the first batch goes on in a dense Adam


def test_all_codes_begin_at_the_mean_of_the_prior_and_unfitted():
    latents = FreeLatents(4, LAYOUT)
    assert all(not code.mean.any() for code in latents(torch.arange(4)).values())
    assert len(latents) == 4
    assert not latents.is_fitted.any()


@pytest.mark.parametrize("noise", [0.3, 1.0])
def test_noise_that_is_given_is_the_scale_of_every_dimension_and_is_not_learnt(noise):
    latents = numbered(noise=noise)
    for code in latents(torch.arange(3)).values():
        torch.testing.assert_close(code.log_scale.exp(), torch.full_like(code.mean, noise))
    assert not latents.raw_scale.requires_grad


def test_scales_that_are_learnt_are_at_most_that_of_the_prior_whatever_their_parameter():
    latents = numbered()
    assert latents.raw_scale.requires_grad
    with torch.no_grad():
        latents.raw_scale.copy_(torch.tensor([-200.0, -5.0, -1.0, 0.0, 3.0, 50.0, 200.0]))
    scales = torch.cat([code.log_scale[0] for code in latents(torch.arange(1)).values()]).exp()
    assert (scales <= 1).all()
    assert (scales > 0).all()
    assert (scales.diff() <= 0).all()


def test_gradients_reach_the_scales():
    latents = numbered()
    sum(code.divergence_from_prior().sum() for code in latents(torch.arange(2)).values()).backward()
    assert (latents.raw_scale.grad != 0).all()


def varied(n_cells: int = 50) -> FreeLatents:
    """Codes whose dimensions tell more and more."""
    latents = FreeLatents(n_cells, LAYOUT)
    random, steps = torch.Generator().manual_seed(0), torch.linspace(0.0, 1.0, 7)
    table = torch.randn(n_cells, 7, generator=random) * steps
    latents.set(torch.arange(n_cells), dict(zip(WIDTHS, table.split(list(WIDTHS.values()), dim=1), strict=True)))
    with torch.no_grad():
        latents.raw_scale.copy_(-4 + 2 * steps)
    return latents


def of_all(cells: torch.Tensor) -> dict[str, torch.Tensor]:
    return dict.fromkeys(WIDTHS, cells)


def nats_by_torch(latents: FreeLatents, cells: torch.Tensor) -> torch.Tensor:
    prior = Normal(0.0, 1.0)
    with torch.no_grad():
        found = [Normal(code.mean, code.log_scale.exp()) for code in latents(cells).values()]
        return torch.cat([kl_divergence(code, prior).mean(0) for code in found])


def test_dimensions_are_put_to_rest_where_their_mean_divergence_from_the_prior_is_below_the_threshold():
    latents, cells = varied(), torch.arange(50)
    nats = nats_by_torch(latents, cells)
    threshold = float(nats.sort().values[2:4].mean())
    latents.rest(of_all(cells), threshold)
    assert torch.equal(torch.cat(list(latents.used().values())), nats >= threshold)
    assert int(latents.is_used.sum()) == 4


def test_only_the_cells_that_are_asked_about_decide_what_is_put_to_rest():
    latents = varied()
    latents.set(torch.arange(10), {"shared": torch.full((10, 3), 9.0)})
    first, others = torch.arange(10), torch.arange(10, 50)
    threshold = float(nats_by_torch(latents, others)[:3].max()) + 0.1
    latents.rest(of_all(others), threshold)
    assert not latents.used()["shared"].any()
    latents = varied()
    latents.set(first, {"shared": torch.full((10, 3), 9.0)})
    latents.rest(of_all(first), threshold)
    assert latents.used()["shared"].all()


def test_dimensions_at_rest_are_the_prior_and_the_others_stay_as_they_were():
    latents, cells = varied(), torch.arange(50)
    before = latents(cells)
    latents.rest(of_all(cells), float(nats_by_torch(latents, cells).median()))
    for block, is_used in latents.used().items():
        after = latents(cells)[block]
        assert not after.mean[:, ~is_used].any()
        torch.testing.assert_close(after.log_scale[:, ~is_used].exp(), torch.ones(50, int((~is_used).sum())))
        assert torch.equal(after.mean[:, is_used], before[block].mean[:, is_used])
        assert torch.equal(after.log_scale[:, is_used], before[block].log_scale[:, is_used])
    assert latents(cells)["shared"].divergence_from_prior().max() == 0  # the three that tell least


def test_codes_are_given_to_cells_by_row():
    latents = numbered()
    latents.is_fitted.copy_(torch.tensor([True, True, True, False, True, True]))
    latents.reorder(torch.tensor([5, 3, 0, 0]))
    for block in WIDTHS:
        assert code_of(latents, block)[:, 0].tolist() == [6, 4, 1, 1]
    assert latents.is_fitted.tolist() == [True, False, True, True]
    assert len(latents) == 4


def test_a_cell_without_a_row_has_no_code_and_is_not_fitted():
    latents = numbered()
    latents.is_fitted.fill_(True)
    latents.reorder(torch.tensor([-1, 2, -1]))
    for block in WIDTHS:
        assert code_of(latents, block)[:, 0].tolist() == [0, 3, 0]
    assert latents.is_fitted.tolist() == [False, True, False]


def test_codes_can_be_learnt_on_after_reordering():
    latents = numbered()
    latents.reorder(torch.tensor([3, 1, -1]))
    latents(torch.tensor([1]))["shared"].mean.sum().backward()
    assert latents.tables["shared"].weight.grad.is_sparse
    assert latents.tables["shared"].weight.shape == (3, 3)


def test_setting_writes_the_codes_of_some_cells_and_blocks_alone():
    latents = numbered()
    latents.set(torch.tensor([4, 1]), {"rna": torch.tensor([[40.0, 41.0], [10.0, 11.0]])})
    codes = code_of(latents, "rna")
    assert codes[[4, 1]].tolist() == [[40, 41], [10, 11]]
    assert codes[[0, 2, 3, 5], 0].tolist() == [1, 3, 4, 6]
    assert code_of(latents, "shared")[:, 0].tolist() == [1, 2, 3, 4, 5, 6]


def test_a_part_holds_the_codes_of_some_cells_by_their_numbers_among_all():
    latents = numbered()
    part = latents.part(torch.tensor([4, 1]))
    assert part.tables["shared"].weight.tolist() == [[5.0] * 3, [2.0] * 3]
    assert part(torch.tensor([1, 4]))["atac"].mean.tolist() == [[2.0] * 2, [5.0] * 2]
    part.set(torch.tensor([4]), {"shared": torch.full((1, 3), 9.0)})
    assert part(torch.tensor([4]))["shared"].mean.tolist() == [[9.0] * 3]
    assert code_of(latents, "shared")[4].tolist() == [5.0] * 3
    assert part.raw_scale is latents.raw_scale
    with pytest.raises(IndexError):
        part(torch.tensor([0]))
