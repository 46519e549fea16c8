import matplotlib
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
        {"modality": pd.Categorical(["rna", "atac"] * 10), "depth": np.arange(20.0)},
        index=[f"cell{i}" for i in range(20)],
    )
    return AnnData(obs=obs, obsm={"X_umap": random.normal(size=(20, 2))})


def drawn(ax):
    """Give the points with their colours as sorted rows."""
    rows = [
        (*point, *colour)
        for points in ax.collections
        for point, colour in zip(
            points.get_offsets().data,
            np.broadcast_to(points.get_facecolors(), (len(points.get_offsets()), 4)),
            strict=True,
        )
    ]
    return sorted(rows)


def test_embedding_draws_every_cell_in_the_colour_of_its_category(adata):
    ax = pl.embedding(adata, "modality")
    colours = matplotlib.colormaps["tab10"](adata.obs["modality"].cat.codes.to_numpy())
    expected = sorted(map(tuple, np.hstack([adata.obsm["X_umap"], colours])))
    np.testing.assert_allclose(drawn(ax), expected)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["atac", "rna"]
    assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel()) == ("modality", "UMAP 1", "UMAP 2")


def test_embedding_draws_numbers_on_a_scale(adata):
    ax = pl.embedding(adata, "depth")
    points = ax.collections[-1]
    value_at = {tuple(at): value for at, value in zip(points.get_offsets().data, points.get_array(), strict=True)}
    for place, value in zip(adata.obsm["X_umap"], adata.obs["depth"], strict=True):
        assert value_at[tuple(place)] == value
    assert len(ax.figure.axes) == 2


def test_embedding_draws_cells_without_a_value_in_grey(adata):
    labels = np.array(adata.obs["modality"], dtype=object)
    labels[:5] = None
    ax = pl.embedding(adata.obsm["X_umap"], labels)
    assert len(ax.collections[0].get_offsets()) == 5
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["atac", "rna", "missing"]


def test_embedding_gives_many_categories_each_their_colour(adata):
    ax = pl.embedding(adata, [f"type{i}" for i in range(20)])
    assert len({row[2:] for row in drawn(ax)}) == 20
    many = pl.embedding(np.tile(adata.obsm["X_umap"], (2, 1)), [f"type{i}" for i in range(40)])
    assert len({row[2:] for row in drawn(many)}) == 40


def test_embedding_draws_into_the_axes_it_is_given_and_shows_nothing(adata, shown):
    _, ax = plt.subplots()
    assert pl.embedding(adata, "modality", ax=ax) is ax
    assert pl.embedding(adata).collections
    assert shown == []
    pl.embedding(adata, show=True)
    assert shown == [1]


def test_embedding_leaves_global_settings_alone(adata):
    before = dict(matplotlib.rcParams)
    pl.embedding(adata, "modality")
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"basis": "X_tsne"}, KeyError, r"'X_tsne' was not found in .obsm, which has \['X_umap'\]"),
        ({"color": "cluster"}, KeyError, "'cluster' was not found in .obs"),
        ({"color": [1, 2]}, ValueError, "2 colours for 20 cells"),
    ],
)
def test_embedding_says_what_does_not_fit(adata, options, error, message):
    with pytest.raises(error, match=message):
        pl.embedding(adata, **options)


def test_embedding_refuses_a_single_coordinate():
    with pytest.raises(ValueError, match=r"shape \(5, 1\), expected cells x 2"):
        pl.embedding(np.zeros((5, 1)))
