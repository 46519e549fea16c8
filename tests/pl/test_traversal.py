import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from cellprism.pl._traversal import traversal

PLACES = [-2.0, -0.9, 0.1, 2.0]
FULL = {"DNA": (0, 1), "actin": (0, 1)}


def steps():
    return pd.DataFrame({"position": PLACES}, index=[f"step {step}" for step in range(4)])


def decoded_images(seed=0):
    pixels = np.random.default_rng(seed).random((4, 2, 6, 8))
    return AnnData(obs=steps(), obsm={"image": pixels}, uns={"channels": ["DNA", "actin"]})


def decoded_table(slopes, base=4.0):
    values = np.exp2(base + np.array(PLACES)[:, None] * np.array(slopes)) - 1
    return AnnData(values, obs=steps(), var=pd.DataFrame(index=[f"g{j}" for j in range(len(slopes))]))


def drawn(panel):
    (image,) = panel.get_images()
    return np.asarray(image.get_array())


def tiles(panel):
    """Cut a strip of four images of 6 x 8 pixels, with lines of 1 between them, into steps and the change."""
    strip = drawn(panel)
    return np.array([strip[:, 9 * step : 9 * step + 8] for step in range(4)]), strip[:, -8:]


def ticks(panel):
    return [label.get_text() for label in panel.get_xticklabels()]


def test_a_strip_shows_the_decoded_images_from_the_low_to_the_high_end():
    decoded = decoded_images()
    (panel,) = traversal(decoded, contrast=FULL)
    dna, actin = np.moveaxis(decoded.obsm["image"], 1, 0)
    np.testing.assert_allclose(tiles(panel)[0], np.stack([dna, actin, dna], axis=-1), atol=1e-6)
    assert ticks(panel)[:4] == ["-2.0", "-0.9", "+0.1", "+2.0"]


def test_the_change_is_red_where_the_high_end_is_brighter_and_white_where_nothing_changes():
    decoded = decoded_images()
    decoded.obsm["image"][:, :, :, :3] = np.array([0.1, 0.2, 0.3, 0.9])[:, None, None, None]
    decoded.obsm["image"][:, :, :, 3:5] = np.array([0.9, 0.3, 0.2, 0.1])[:, None, None, None]
    decoded.obsm["image"][:, :, :, 5:] = 0.5
    (panel,) = traversal(decoded)
    red, _, blue = np.moveaxis(tiles(panel)[1], -1, 0)
    assert (red[:, :3] > 2 * blue[:, :3]).all()
    assert (blue[:, 3:5] > 2 * red[:, 3:5]).all()
    np.testing.assert_allclose(tiles(panel)[1][:, 5:], 1, atol=0.05)
    assert ticks(panel)[4] == "change\n(±0.8)"


def test_several_components_have_a_strip_each_with_one_contrast():
    first, second = decoded_images(0), decoded_images(1)
    second.obsm["image"] = second.obsm["image"] / 2
    panels = traversal({"shared 0": first, "shared 1": second}, channels="DNA", contrast=(0, 100))
    assert [panel.get_ylabel() for panel in panels] == ["shared 0", "shared 1"]
    dna = np.stack([first.obsm["image"][:, 0], second.obsm["image"][:, 0]])
    shares = (dna - dna.min()) / (dna.max() - dna.min())
    for panel, expected in zip(panels, shares, strict=True):
        np.testing.assert_allclose(tiles(panel)[0][..., 0], expected, atol=1e-6)
    assert ticks(panels[0]) == []


def test_places_that_differ_are_written_below_each_strip():
    first, second = decoded_images(0), decoded_images(1)
    second.obs["position"] += 0.5
    panels = traversal({"a": first, "b": second})
    assert ticks(panels[0])[0] == "-2.0"
    assert ticks(panels[1])[0] == "-1.5"


def test_channels_may_have_strips_of_their_own_in_grey():
    decoded = decoded_images()
    panels = traversal({"shared 0": decoded}, channels_in="rows", contrast=FULL)
    assert [panel.get_ylabel() for panel in panels] == ["shared 0\nDNA", "actin"]
    for channel, panel in enumerate(panels):
        grey = np.repeat(decoded.obsm["image"][:, channel, :, :, None], 3, axis=-1)
        np.testing.assert_allclose(tiles(panel)[0], grey, atol=1e-6)


def test_one_traversal_is_named_by_its_block_and_component():
    decoded = decoded_images()
    decoded.uns["traversal"] = {"block": "shared", "component": 2}
    assert traversal(decoded)[0].get_ylabel() == "shared 2"


def test_a_table_shows_changes_from_the_middle_of_the_features_that_span_most_rising_ones_on_top():
    slopes = [0.1, -0.5, 1.0, 0.0, -1.2]
    (panel,) = traversal({"shared 0": decoded_table(slopes)}, n_features=3)
    assert [label.get_text() for label in panel.get_yticklabels()] == ["g2", "g1", "g4"]
    expected = np.outer([1.0, -0.5, -1.2], np.array(PLACES) - 0.1)
    np.testing.assert_allclose(drawn(panel), expected, atol=1e-9)
    assert ticks(panel) == ["-2.0", "-0.9", "+0.1", "+2.0"]
    assert panel.figure.axes[-1].get_ylabel() == "change from the middle (log2 of 1 + value)"


def test_a_table_with_negative_values_is_drawn_in_its_own_units():
    decoded = decoded_table([1.0, 0.5])
    decoded.X = decoded.X - 10
    (panel,) = traversal(decoded)
    np.testing.assert_allclose(drawn(panel), (decoded.X - decoded.X[2]).T, atol=1e-9)
    assert panel.figure.axes[-1].get_ylabel() == "change from the middle"


def test_tables_of_several_components_share_one_scale():
    panels = traversal({"shared 0": decoded_table([2.0, -1.0]), "rna 0": decoded_table([0.1, 0.2])})
    limits = {panel.get_images()[0].get_clim() for panel in panels}
    assert len(limits) == 1
    assert [panel.get_title() for panel in panels] == ["shared 0", "rna 0"]


def test_a_table_in_which_nothing_changes_is_white():
    (panel,) = traversal(decoded_table([0.0, 0.0]))
    assert (drawn(panel) == 0).all()


def test_traversals_are_drawn_into_the_axes_they_are_given(shown):
    _, axes = plt.subplots(2)
    assert list(traversal({"a": decoded_images(), "b": decoded_images()}, ax=axes)) == list(axes)
    assert list(traversal({"a": decoded_table([1.0]), "b": decoded_table([1.0])}, ax=axes)) == list(axes)
    assert shown == []
    with pytest.raises(ValueError, match="2 axes for 1 strips"):
        traversal(decoded_images(), ax=axes)
    with pytest.raises(ValueError, match="2 axes for 1 traversals"):
        traversal(decoded_table([1.0]), ax=axes)


def test_traversal_says_what_does_not_fit():
    decoded = decoded_images()
    with pytest.raises(ValueError, match="no traversal to draw"):
        traversal({})
    with pytest.raises(ValueError, match=r"columns \[\] in .obs of 'a', expected 'position'"):
        traversal({"a": AnnData(obsm={"image": decoded.obsm["image"]})})
    other = decoded_images()
    other.uns["channels"] = ["DNA", "tubulin"]
    with pytest.raises(ValueError, match=r"channels \['DNA', 'tubulin'\] in 'b', expected .* as in the first"):
        traversal({"a": decoded, "b": other})
    with pytest.raises(KeyError, match=r"'image' was not found in \.obsm"):
        traversal({"a": decoded, "b": decoded_table([1.0])})
    with pytest.raises(ValueError, match="neither images nor values in 'a'"):
        traversal({"a": decoded}, key="crops")
    with pytest.raises(ValueError, match="channels_in='columns'"):
        traversal(decoded, channels_in="columns")
    with pytest.raises(ValueError, match="n_features=0"):
        traversal(decoded_table([1.0]), n_features=0)
