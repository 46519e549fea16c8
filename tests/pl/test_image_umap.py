import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.colors import to_rgba

from cellprism import pl


@pytest.fixture
def adata():
    random = np.random.default_rng(0)
    obs = pd.DataFrame({"phase": pd.Categorical(["G1", "S"] * 20), "area": np.arange(40.0)}, index=map(str, range(40)))
    places = random.normal(size=(40, 2)) * [1, 20]
    return AnnData(obs=obs, obsm={"image": random.random((40, 1, 5, 7)), "X_umap": places})


def canvas(ax):
    (image,) = ax.get_images()
    return np.asarray(image.get_array())


CORNERS = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 4.0], [6.0, 1.0]])
"""Cells at three corners of an embedding, and one near its middle."""


def test_images_lie_where_their_cells_are():
    pixels = np.arange(1, 5)[:, None, None, None] / 4 * np.ones((1, 1, 5, 7))
    ax = pl.image_umap(pixels, basis=CORNERS, n_grid=4, contrast={"channel 0": (0, 1)})
    found = canvas(ax)
    assert found.shape == (4 * 6, 4 * 8, 4)
    shares = {(0, 0): None, (3, 0): 0.25, (3, 3): 0.5, (0, 3): 0.75, (2, 2): 1.0}
    for (row, column), share in shares.items():
        square = found[6 * row : 6 * row + 5, 8 * column : 8 * column + 7]
        expected = [0, 0, 0, 0] if share is None else [share, share, share, 1]
        np.testing.assert_allclose(square, np.broadcast_to(expected, square.shape), atol=1e-6)
    assert ax.get_images()[0].get_extent() == [0, 10, 0, 4]


def test_a_square_shows_the_cell_nearest_to_its_centre():
    places = np.array([[0.0, 0.0], [1.9, 1.8], [1.2, 1.1], [4.0, 4.0]])
    pixels = np.arange(4)[:, None, None, None] / 4 * np.ones((1, 1, 5, 5))
    found = canvas(pl.image_umap(pixels, basis=places, n_grid=2, contrast={"channel 0": (0, 1)}))
    np.testing.assert_allclose(found[6:11, :5, 0], 0.5)


def test_pixels_are_square_whatever_the_units(adata):
    ax = pl.image_umap(adata)
    left, right, bottom, top = ax.get_images()[0].get_extent()
    height, width, _ = canvas(ax).shape
    assert ax.get_aspect() * (top - bottom) / height == pytest.approx((right - left) / width)


def test_frames_have_the_colour_of_the_category(adata):
    found = canvas(pl.image_umap(adata, "phase", n_grid=1))
    places = adata.obsm["X_umap"]
    middle = (places - places.min(axis=0)) / np.ptp(places, axis=0) - 0.5
    nearest = int(np.argmin((middle**2).sum(axis=1)))
    colour = matplotlib.colormaps["tab10"](adata.obs["phase"].cat.codes.iloc[nearest])
    frame = np.concatenate([found[0, :9], found[6, :9], found[:7, 0], found[:7, 8]])
    np.testing.assert_allclose(frame, np.broadcast_to(colour, frame.shape), atol=1e-6)
    assert found[1:6, 1:8, 3].min() == 1
    assert (found[7:, :, 3] == 0).all()


def test_frames_of_numbers_have_a_scale_and_grey_where_missing(adata):
    adata.obs.loc["0":"38", "area"] = np.nan
    adata.obs.loc["39", "area"] = 2.0
    ax = pl.image_umap(adata, "area", n_grid=6)
    assert len(ax.figure.axes) == 2
    corners = canvas(ax)[::8, ::10].reshape(-1, 4).astype(float)
    painted = {tuple(np.round(colour, 3)) for colour in corners if colour[3]}
    assert tuple(np.round(to_rgba("0.85"), 3)) in painted
    assert len(painted) <= 2


def test_the_legend_names_categories_and_then_channels(adata):
    adata.obsm["image"] = np.repeat(adata.obsm["image"], 2, axis=1)
    adata.uns["channels"] = ["DNA", "pH3"]
    ax = pl.image_umap(adata, "phase")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["G1", "S", "DNA", "pH3"]
    assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel()) == ("phase", "UMAP 1", "UMAP 2")


def test_images_never_cover_each_other(adata):
    found = canvas(pl.image_umap(adata, n_grid=6))
    between = found.reshape(6, 6, 6, 8, 4)
    assert (between[:, 5:, ..., 3] == 0).all()
    assert (between[:, :, :, 7:, 3] == 0).all()
    shown = between[:, 0, :, 0, 3].sum()
    places = adata.obsm["X_umap"]
    squares = np.minimum((places - places.min(axis=0)) / np.ptp(places, axis=0) * 6, 5).astype(int)
    assert shown == len(np.unique(squares, axis=0))


def test_cells_without_coordinates_are_left_out(adata):
    places = adata.obsm["X_umap"].copy()
    expected = canvas(pl.image_umap(adata.obsm["image"][1:], basis=places[1:], contrast={"channel 0": (0, 1)}))
    places[0] = np.nan
    found = canvas(pl.image_umap(adata, basis=places, contrast={"channel 0": (0, 1)}))
    np.testing.assert_array_equal(found, expected)


def test_image_umap_draws_into_the_axes_it_is_given(adata, shown):
    _, ax = plt.subplots()
    assert pl.image_umap(adata, ax=ax) is ax
    assert shown == []
    pl.image_umap(adata, show=True)
    assert shown == [1]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"basis": "X_tsne"}, KeyError, r"'X_tsne' was not found in .obsm, which has \['image', 'X_umap'\]"),
        ({"basis": np.zeros((3, 2))}, ValueError, "3 coordinates for 40 images"),
        ({"basis": np.full((40, 2), np.nan)}, ValueError, "no cell with finite coordinates"),
        ({"color": "cluster"}, KeyError, "'cluster' was not found in .obs"),
    ],
)
def test_image_umap_says_what_does_not_fit(adata, options, error, message):
    with pytest.raises(error, match=message):
        pl.image_umap(adata, **options)


def test_an_array_of_images_needs_coordinates(adata):
    with pytest.raises(ValueError, match="basis='X_umap', expected coordinates"):
        pl.image_umap(adata.obsm["image"])
