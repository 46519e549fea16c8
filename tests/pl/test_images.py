import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from cellprism import pl


@pytest.fixture
def adata():
    random = np.random.default_rng(0)
    obs = pd.DataFrame(
        {
            "phase": pd.Categorical(["S", "G1", "S"] * 4),
            "area": random.permutation(12) * 1.0,
            "mitotic": [True, False] * 6,
        },
        index=[f"cell{i}" for i in range(12)],
    )
    pixels = random.integers(0, 256, size=(12, 2, 4, 6), dtype=np.uint8)
    return AnnData(obs=obs, obsm={"image": pixels}, uns={"channels": np.array(["DNA", "pH3"])})


FULL = {"DNA": (0, 255), "pH3": (0, 255)}


def drawn(panel):
    (image,) = panel.get_images()
    return np.asarray(image.get_array())


def tiles(panel, n_cells, n_columns):
    """Cut the picture of a panel, with images of 4 x 6 pixels and lines of 1 between them, into cells."""
    cells = [divmod(cell, n_columns) for cell in range(n_cells)]
    return np.array([drawn(panel)[5 * row : 5 * row + 4, 7 * column : 7 * column + 6] for row, column in cells])


def test_two_channels_are_added_up_as_magenta_and_green(adata):
    (panel,) = pl.images(adata, contrast=FULL, n_columns=4)
    dna, ph3 = np.moveaxis(adata.obsm["image"] / 255, 1, 0)
    expected = np.stack([dna, ph3, dna], axis=-1)
    np.testing.assert_allclose(tiles(panel, 12, 4), expected, atol=1e-6)


def test_one_channel_is_grey(adata):
    (panel,) = pl.images(adata, channels="pH3", contrast=FULL)
    expected = np.repeat(adata.obsm["image"][:, 1, :, :, None] / 255, 3, axis=-1)
    np.testing.assert_allclose(tiles(panel, 12, 12), expected, atol=1e-6)


def test_channels_take_the_colours_they_are_given(adata):
    (panel,) = pl.images(adata, channels={"pH3": "red", "DNA": "#000080"}, contrast=FULL)
    dna, ph3 = np.moveaxis(adata.obsm["image"] / 255, 1, 0)
    expected = np.stack([ph3, 0 * ph3, dna * 128 / 255], axis=-1)
    np.testing.assert_allclose(tiles(panel, 12, 12), expected, atol=1e-6)
    assert [text.get_text() for text in panel.get_legend().get_texts()] == ["pH3", "DNA"]


def test_colours_that_add_up_to_more_than_white_are_white():
    (panel,) = pl.images(np.ones((1, 4, 4, 6)), contrast={f"channel {c}": (0, 1) for c in range(4)})
    assert drawn(panel).max() == 1


def test_percentiles_are_shared_by_the_cells_of_all_groups(adata):
    panels = pl.images(adata, "phase", contrast=(10, 90), channels=["DNA"])
    low, high = np.percentile(adata.obsm["image"][:, 0].astype(float), [10, 90])
    shares = np.clip((adata.obsm["image"][:, 0] - low) / (high - low), 0, 1)
    in_g1 = (adata.obs["phase"] == "G1").to_numpy()
    np.testing.assert_allclose(tiles(panels[0], 4, 4)[..., 0], shares[in_g1], atol=1e-6)
    np.testing.assert_allclose(tiles(panels[1], 8, 8)[..., 0], shares[~in_g1], atol=1e-6)


def test_a_channel_without_variation_is_black():
    (panel,) = pl.images(np.full((2, 1, 4, 6), 7.0))
    assert tiles(panel, 2, 2).max() == 0


def test_groups_have_a_panel_each_with_their_name(adata):
    panels = pl.images(adata, "phase")
    assert [panel.get_title(loc="left") for panel in panels] == ["G1", "S"]
    by_fact = pl.images(adata, "mitotic")
    assert [panel.get_title(loc="left") for panel in by_fact] == ["mitotic: False", "mitotic: True"]
    assert len(panels[0].figure.axes) == 2


def test_the_same_cells_of_a_group_are_drawn_at_every_call_without_repetition(adata):
    first, second = (pl.images(adata, "phase", n_cells=3, contrast=FULL) for _ in range(2))
    np.testing.assert_array_equal(drawn(first[1]), drawn(second[1]))
    greens = tiles(first[1], 3, 3)[..., 1]
    own = adata.obsm["image"][(adata.obs["phase"] == "S").to_numpy(), 1] / 255
    rows = [int(np.argmin(np.abs(own - green).max(axis=(1, 2)))) for green in greens]
    np.testing.assert_allclose(greens, own[rows], atol=1e-6)
    assert len(set(rows)) == 3


def test_cells_are_sorted_by_a_number(adata):
    (panel,) = pl.images(adata, sort_by="area", channels="DNA", contrast=FULL)
    order = np.argsort(adata.obs["area"].to_numpy())
    np.testing.assert_allclose(tiles(panel, 12, 12)[..., 0], adata.obsm["image"][order, 0] / 255, atol=1e-6)


def test_cells_without_a_group_are_left_out(adata):
    groups = ["a", None, "b"] * 4
    panels = pl.images(adata, groups, contrast=FULL)
    assert [drawn(panel).shape for panel in panels] == [(4, 27, 3)] * 2


def test_a_last_row_is_filled_up_in_white(adata):
    (panel,) = pl.images(adata, n_columns=5)
    assert drawn(panel).shape == (14, 34, 3)
    assert (drawn(panel)[-4:, -6:] == 1).all()


def test_titles_are_written_into_the_images(adata):
    (panel,) = pl.images(adata, titles="area", sort_by="area", n_columns=6)
    assert [text.get_text() for text in panel.texts] == [str(number) for number in range(12)]
    assert panel.texts[7].get_position() == (7, 5)


def test_an_array_is_drawn_as_the_slot_is(adata):
    (of_slot,) = pl.images(adata)
    (of_array,) = pl.images(adata.obsm["image"])
    np.testing.assert_array_equal(drawn(of_slot), drawn(of_array))
    assert [text.get_text() for text in of_array.get_legend().get_texts()] == ["channel 0", "channel 1"]


def test_images_are_drawn_into_the_axes_they_are_given(adata, shown):
    _, axes = plt.subplots(2)
    assert list(pl.images(adata, "phase", ax=axes)) == list(axes)
    assert shown == []
    with pytest.raises(ValueError, match="2 axes for 1 groups"):
        pl.images(adata, ax=axes)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"key": "crops"}, KeyError, r"'crops' was not found in .obsm, which has \['image'\]"),
        ({"groupby": "cluster"}, KeyError, "'cluster' was not found in .obs"),
        ({"sort_by": [1, 2]}, ValueError, "2 values to sort by for 12 cells"),
        ({"channels": ["DNA", "actin"]}, ValueError, r"\['DNA', 'actin'\], expected some of \['DNA', 'pH3'\]"),
        ({"contrast": (90, 10)}, ValueError, "two increasing percentiles"),
        ({"contrast": {"DNA": (0, 1)}}, ValueError, r"expected them for \['pH3'\]"),
        ({"contrast": {"DNA": (0, 1), "pH3": (5, 5)}}, ValueError, "low below high"),
    ],
)
def test_images_say_what_does_not_fit(adata, options, error, message):
    with pytest.raises(error, match=message):
        pl.images(adata, **options)


def test_images_of_a_wrong_shape_or_name_are_refused(adata):
    with pytest.raises(ValueError, match=r"shape \(3, 4, 4\) in the array.*images\[:, None\]"):
        pl.images(np.zeros((3, 4, 4)))
    adata.uns["channels"] = ["DNA"]
    with pytest.raises(ValueError, match=r"names \['DNA'\], but .obsm\['image'\] has 2 channels"):
        pl.images(adata)
