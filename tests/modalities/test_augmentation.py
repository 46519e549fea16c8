import numpy as np
import pytest
import torch
from tests.contracts.pictures import NETWORKS, SIZE

from cellprism.data import Batch, CellDataset, ImageRows
from cellprism.latents import LatentLayout
from cellprism.modalities import Architecture, Augmentation, Images
from cellprism.module import LatentModule
from cellprism.nn import flip_and_turn
from cellprism.training import Optimisation, Stage, TrainingPlan

N_CELLS = 40
EVERYTHING = Augmentation(rotation=25.0, shift=0.1)


def pictures(size: tuple[int, int] = (16, 16), n_channels: int = 1) -> torch.Tensor:
    return torch.rand(N_CELLS, n_channels, *size, generator=torch.Generator().manual_seed(0))


def draws(n_cells: int = N_CELLS) -> torch.Tensor:
    return torch.rand(n_cells, 8, generator=torch.Generator().manual_seed(1))


def codes_of(changed: torch.Tensor, images: torch.Tensor, codes: range) -> list[int]:
    """Which of the symmetries each image was moved by."""
    moved = torch.stack([flip_and_turn(images, torch.full((len(images),), code)) for code in codes])
    is_it = (moved == changed).all(dim=(2, 3, 4))
    assert (is_it.sum(0) == 1).all()
    return [codes[i] for i in is_it.int().argmax(0).tolist()]


def module_of(batch: Batch, **augmentations: Augmentation) -> LatentModule:
    modalities = {name: Images(augmentation=a, networks=NETWORKS) for name, a in augmentations.items()}
    torch.manual_seed(0)
    return LatentModule(
        modalities,
        {name: tuple(batch.observed[name].rows.stored.shape[1:]) for name in modalities},
        layout=LatentLayout.split(list(modalities), n_shared=2, n_private=1),
        objectives=(),
        architecture=Architecture(n_hidden=8),
        n_batches=1,
        n_classes=0,
        n_markers=0,
    )


def two_views(first: torch.Tensor, second: torch.Tensor) -> Batch:
    """The second modality holds half of the cells, in another order."""
    order = torch.arange(N_CELLS).flip(0)[::2]
    row_of_cell = torch.full((N_CELLS,), -1)
    row_of_cell[order] = torch.arange(len(order))
    rows = {"a": ImageRows(first, 1.0), "b": ImageRows(second[order], 1.0)}
    nothing = torch.zeros(N_CELLS, dtype=torch.long)
    places = {"a": torch.arange(N_CELLS), "b": row_of_cell}
    return CellDataset(rows, places, nothing, nothing - 1, torch.zeros(N_CELLS, 0)).take(torch.arange(N_CELLS))


@pytest.mark.parametrize(
    ("settings", "size", "codes"),
    [
        ({}, (16, 16), range(8)),
        ({}, SIZE, range(4)),
        ({"right_angles": False}, (16, 16), range(4)),
        ({"flips": False}, (16, 16), (0, 3, 5, 6)),
        ({"flips": False}, SIZE, (0, 3)),
        ({"flips": False, "right_angles": False}, (16, 16), (0,)),
    ],
)
def test_images_are_moved_by_the_symmetries_that_are_allowed_and_by_all_of_them(settings, size, codes):
    images = pictures(size)
    changed, _ = Augmentation(share=1.0, **settings)(images, None, draws())
    all_codes = range(8) if size[0] == size[1] else range(4)
    assert set(codes_of(changed, images, all_codes)) == set(codes)


def test_the_stated_share_of_images_is_changed_and_the_others_are_left_as_they_are():
    images = torch.rand(400, 1, 16, 16)
    random = draws(400)
    changed, _ = Augmentation(share=0.3)(images, None, random)
    is_same = (changed == images).flatten(1).all(1)
    assert is_same[random[:, 4] >= 0.3].all()
    # one of the eight symmetries is no change
    assert abs(float((~is_same).float().mean()) - 0.3 * 7 / 8) < 0.08


def test_every_symmetry_is_as_likely_as_every_other():
    n_images = 8 * 500
    images = torch.arange(256.0).reshape(1, 1, 16, 16).repeat(n_images, 1, 1, 1)
    changed, _ = Augmentation(share=1.0)(images, None, draws(n_images))
    counts = np.bincount(codes_of(changed, images, range(8)), minlength=8)
    np.testing.assert_allclose(counts / 500, 1, atol=0.2)


@pytest.mark.parametrize("size", [(16, 16), SIZE])
def test_a_mask_moves_with_its_image(size):
    images = pictures(size)
    changed, mask = Augmentation()(images, images > 0.5, draws())
    assert torch.equal(mask, changed > 0.5)
    smooth = torch.nn.functional.interpolate(pictures((3, 3)), size, mode="bilinear")
    changed, mask = EVERYTHING(smooth, smooth > 0.5, draws())
    assert mask.dtype == torch.bool
    assert float((mask == (changed > 0.5)).float().mean()) > 0.95


def test_channels_of_a_cell_move_together():
    images = pictures(n_channels=1).expand(-1, 3, -1, -1)
    changed, _ = EVERYTHING(images, None, draws())
    assert torch.equal(changed, changed[:, :1].expand(-1, 3, -1, -1))
    assert not torch.equal(changed, images)


@pytest.mark.parametrize("size", [(16, 16), SIZE])
def test_modalities_of_a_cell_move_together(size):
    images = pictures(size)
    batch = two_views(images, images)
    augmented = module_of(batch, a=EVERYTHING, b=EVERYTHING).augment(batch)
    first, second = (augmented.observed[name] for name in ("a", "b"))
    assert len(second.rows) == N_CELLS // 2
    torch.testing.assert_close(first.rows.stored[second.cells], second.rows.stored)
    assert not torch.equal(first.rows.stored, images)


def test_modalities_of_one_shape_and_different_size_move_together():
    small = pictures((16, 16))
    batch = two_views(small, small.repeat_interleave(2, 2).repeat_interleave(2, 3))
    augmented = module_of(batch, a=Augmentation(), b=Augmentation()).augment(batch)
    first, second = (augmented.observed[name] for name in ("a", "b"))
    assert torch.equal(first.rows.stored[second.cells], second.rows.stored[:, :, ::2, ::2])


def test_intensities_are_left_alone_by_default_and_otherwise_change_within_bounds():
    images = pictures()
    assert torch.equal(Augmentation(flips=False, right_angles=False)(images, None, draws())[0], images)
    torch.manual_seed(0)
    changed, _ = Augmentation(flips=False, right_angles=False, intensity=0.3)(images, None, draws())
    factors = (changed / images).flatten(1)
    torch.testing.assert_close(factors, factors[:, :1].expand_as(factors))
    assert 0.7 <= float(factors.min()) < 0.8
    assert 1.2 < float(factors.max()) <= 1.3


def test_intensities_that_leave_the_range_are_cut_off_where_they_are_scaled():
    batch = two_views(pictures(), pictures())
    module = module_of(batch, a=Augmentation(intensity=0.5), b=Augmentation(intensity=0.5))
    torch.manual_seed(0)
    augmented = module.augment(batch).observed["a"].rows
    assert float(augmented.stored.max()) > 1.2
    assert float(module.coders["a"].fractions(augmented).max()) == 1.0


def test_intensities_of_a_camera_survive_their_change():
    batch = two_views(4000 * pictures(), pictures())
    module = module_of(batch, a=Augmentation(flips=False, right_angles=False, intensity=0.2), b=Augmentation())
    torch.manual_seed(0)
    changed = module.augment(batch).observed["a"].rows.stored / (4000 * pictures())
    assert 0.8 <= float(changed.min()) < float(changed.max()) <= 1.2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("augmentation", [Augmentation(), EVERYTHING, Augmentation(intensity=0.2)])
def test_images_of_any_type_change_as_their_fractions_do(dtype, augmentation):
    full = 1 if dtype == np.float32 else np.iinfo(dtype).max
    rows = ImageRows.from_numpy((full * pictures().numpy()).astype(dtype), mask=pictures().numpy() > 0.5)
    coder = module_of(two_views(pictures(), pictures()), a=augmentation, b=augmentation).coders["a"]
    torch.manual_seed(0)
    found = coder.augment(rows, draws())
    torch.manual_seed(0)
    expected, mask = augmentation(rows.fractions(), rows.mask, draws())
    assert torch.equal(found.fractions(), expected)
    assert torch.equal(found.mask, mask)
    assert not torch.equal(expected, rows.fractions())


def test_only_training_shows_changed_images(monkeypatch):
    batch = two_views(pictures(), pictures())
    module = module_of(batch, a=EVERYTHING, b=EVERYTHING)
    seen = []
    monkeypatch.setattr(LatentModule, "augment", lambda self, batch: seen.append(1) or batch)
    plan = TrainingPlan(module, Stage("train", (), ("a", "b")), optimisation=Optimisation(), max_epochs=1)
    plan.eval()
    plan.validation_step(batch, 0)
    module(batch)
    assert not seen


@pytest.mark.parametrize(
    ("name", "value", "limit"), [("rotation", 200.0, 180), ("shift", -0.1, 0.5), ("intensity", 2.0, 1)]
)
def test_changes_that_make_no_sense(name, value, limit):
    with pytest.raises(ValueError, match=f"Augmentation has {name}={value}; expected 0 to {limit}"):
        Augmentation(**{name: value})
