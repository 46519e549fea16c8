import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from cellprism import pl


@pytest.fixture
def images():
    """Real images of 20 cells, and translations whose error rises from cell to cell."""
    random = np.random.default_rng(0)
    true = random.random((20, 1, 5, 5)).astype(np.float32)
    return true, true + np.linspace(0.01, 0.4, 20, dtype=np.float32)[:, None, None, None]


def drawn(panel):
    (image,) = panel.get_images()
    return np.asarray(image.get_array())


def as_anndata(pixels, names):
    return AnnData(obs=pd.DataFrame(index=names), obsm={"image": pixels})


def test_best_median_and_worst_cells_are_drawn_with_all_kinds_of_image(images):
    true, translated = images
    panels = pl.translation(true, translated, 0 * true, contrast={"channel 0": (0, 2)})
    assert panels.shape == (6, 4)
    assert [panel.get_title() for panel in panels[0]] == ["real", "reconstructed", "translated", "difference"]
    for row, cell in zip(panels, [0, 1, 9, 10, 18, 19], strict=True):
        for panel, pixels in zip(row, (true, 0 * true, translated), strict=False):
            np.testing.assert_allclose(drawn(panel), np.repeat(pixels[cell, 0, :, :, None] / 2, 3, -1), atol=1e-6)
        np.testing.assert_allclose(drawn(row[3]), (translated - true)[cell, 0], atol=1e-6)
        error = np.mean((translated[cell] - true[cell]) ** 2)
        assert row[0].get_ylabel().split("\n")[1] == f"MSE {error:.2g}"
    ranks = [panel.get_ylabel().split("\n")[0] for panel in panels[:, 0]]
    assert ranks == ["best", "best", "median", "median", "worst", "worst"]


def test_kinds_can_be_laid_out_in_rows(images):
    in_columns, in_rows = (pl.translation(*images, kinds_in=way) for way in ("columns", "rows"))
    assert in_rows.shape == in_columns.T.shape
    for first, second in zip(in_columns.T.ravel(), in_rows.ravel(), strict=True):
        np.testing.assert_array_equal(drawn(first), drawn(second))
    assert [panel.get_ylabel() for panel in in_rows[:, 0]] == ["real", "translated", "difference"]


def test_given_errors_rank_the_cells(images):
    true, translated = images
    panels = pl.translation(true, translated, errors=-np.arange(20.0), n_cells=1)
    np.testing.assert_allclose(drawn(panels[0, 2]), (translated - true)[19, 0], atol=1e-6)
    assert panels[0, 0].get_ylabel() == "best\nerror -19"


def test_all_differences_share_one_scale_that_is_symmetric(images):
    panels = pl.translation(*images)
    limits = {panel.get_images()[0].get_clim() for panel in panels[:, -1]}
    ((low, high),) = limits
    assert low == -high
    assert 0.35 < high <= 0.41


def test_the_contrast_is_that_of_the_real_images(images):
    true, translated = images
    panels = pl.translation(true, translated, contrast=(5, 95), n_cells=1)
    low, high = np.percentile(true, [5, 95])
    expected = np.clip((translated[0, 0] - low) / (high - low), 0, 1)
    np.testing.assert_allclose(drawn(panels[0, 1])[..., 0], expected, atol=1e-5)


def test_cells_of_anndata_are_matched_by_name(images):
    true, translated = images
    names = np.array([f"cell{i}" for i in range(20)])
    order = np.random.default_rng(1).permutation(20)[:15]
    kept = np.sort(order)
    expected = pl.translation(true[kept], translated[kept])
    found = pl.translation(as_anndata(true, names), as_anndata(translated[order], names[order]))
    for first, second in zip(expected.ravel(), found.ravel(), strict=True):
        np.testing.assert_array_equal(drawn(first), drawn(second))


def test_slots_of_one_anndata_are_named_and_cells_without_an_image_left_out(images):
    true, translated = images
    adata = as_anndata(true, [f"cell{i}" for i in range(20)])
    adata.obsm["image_translated_from_rna"] = translated.copy()
    adata.obsm["image_translated_from_rna"][:4] = np.nan
    panels = pl.translation(adata, "image_translated_from_rna", n_cells=1)
    np.testing.assert_allclose(drawn(panels[0, 2]), (translated - true)[4, 0], atol=1e-6)


def test_integer_images_are_shares_of_their_range(images):
    true, translated = images
    as_bytes = np.round(true * 255).astype(np.uint8)
    panels = pl.translation(as_bytes, translated, n_cells=1)
    np.testing.assert_allclose(drawn(panels[2, 2]), (translated - true)[19, 0], atol=0.5 / 255 + 1e-6)


def test_only_drawn_channels_count(images):
    true, translated = images
    opposed = np.concatenate([translated, true + (translated - true)[::-1]], axis=1)
    pair = np.concatenate([true, true], axis=1), opposed
    panels = pl.translation(*pair, channels="channel 1", n_cells=1)
    np.testing.assert_allclose(drawn(panels[0, 2]), (pair[1] - pair[0])[19, 1], atol=1e-6)
    of_both = pl.translation(*pair, errors=np.arange(20), n_cells=1)
    np.testing.assert_allclose(drawn(of_both[0, 2]), (pair[1] - pair[0])[0].mean(axis=0), atol=1e-6)


def test_translation_draws_into_the_axes_it_is_given(images, shown):
    _, axes = plt.subplots(3, 3)
    assert (pl.translation(*images, n_cells=1, ax=axes) == axes).all()
    assert shown == []
    with pytest.raises(ValueError, match="9 axes, expected 6 rows x 3 columns"):
        pl.translation(*images, ax=axes)


def test_translation_says_what_does_not_fit(images):
    true, translated = images
    with pytest.raises(ValueError, match=r"translated images of shape \(1, 5, 4\) and real ones of \(1, 5, 5\)"):
        pl.translation(true, translated[..., :4])
    with pytest.raises(ValueError, match="19 translated images for 20 cells"):
        pl.translation(true, translated[1:])
    with pytest.raises(ValueError, match="20 cells with all images, expected at least 21"):
        pl.translation(true, translated, n_cells=7)
    with pytest.raises(ValueError, match="3 errors for 20 cells"):
        pl.translation(true, translated, errors=[1, 2, 3])
    with pytest.raises(ValueError, match=r"read as shares of their range, but the others reach 25\d"):
        pl.translation(np.round(true * 255).astype(np.uint8), translated * 181)
    with pytest.raises(ValueError, match="kinds_in='cols', expected 'columns' or 'rows'"):
        pl.translation(true, translated, kinds_in="cols")
    with pytest.raises(ValueError, match="no cell that has a real image and all of"):
        pl.translation(as_anndata(true, [f"a{i}" for i in range(20)]), as_anndata(true, [f"b{i}" for i in range(20)]))
