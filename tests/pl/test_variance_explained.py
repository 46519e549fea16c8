import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba

from cellprism.pl._variance_explained import variance_explained


@pytest.fixture
def shares():
    return {
        "rna": pd.Series({"shared": 0.5, "private": 0.3, "neither": 0.2}),
        "atac": pd.Series({"shared": 0.4, "private": -0.1, "neither": 0.7}),
    }


def extents(ax):
    """Block to the (start, end) of its bars."""
    return {bars.get_label(): [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in bars] for bars in ax.containers}


def test_shares_are_stacked_to_the_right_and_negative_ones_to_the_left(shares):
    drawn = extents(variance_explained(shares))
    np.testing.assert_allclose(drawn["shared"], [(0, 0.5), (0, 0.4)])
    np.testing.assert_allclose(drawn["private"], [(0.5, 0.8), (0, -0.1)])
    np.testing.assert_allclose(drawn["neither"], [(0.8, 1.0), (0.4, 1.1)])


def test_modalities_are_named_from_the_top_and_large_shares_written(shares):
    ax = variance_explained({**shares, "protein": shares["rna"] * [1, 0.1, 1] + [0, 0, 0.27]})
    assert [label.get_text() for label in ax.get_yticklabels()] == ["rna", "atac", "protein"]
    assert ax.yaxis_inverted()
    written = [text.get_text() for text in ax.texts]
    assert written == ["50%", "40%", "50%", "30%", "-10%", "20%", "70%", "47%"]


def test_blocks_have_colours_in_order_and_the_rest_is_grey(shares):
    ax = variance_explained(shares)
    colours = [bars[0].get_facecolor() for bars in ax.containers]
    tab10 = matplotlib.colormaps["tab10"]
    assert colours == [tab10(0), tab10(1), to_rgba("0.85")]


def test_blocks_that_only_some_modalities_have_keep_one_colour_and_the_rest_comes_last(shares):
    ax = variance_explained({**shares, "w": pd.Series({"shared": 0.1, "x and w": 0.5, "neither": 0.4})})
    assert list(extents(ax)) == ["shared", "private", "x and w", "neither"]
    np.testing.assert_allclose(extents(ax)["x and w"], [(0.5 + 0.3, 0.8), (0.4, 0.4), (0.1, 0.6)])


def test_rows_of_a_table_are_bars(shares):
    table = pd.DataFrame(shares).T
    assert extents(variance_explained(table)) == extents(variance_explained(shares))


def test_variance_explained_draws_into_the_axes_it_is_given(shares, shown):
    _, ax = plt.subplots()
    assert variance_explained(shares, ax=ax) is ax
    assert shown == []


def test_variance_explained_refuses_what_has_no_blocks():
    with pytest.raises(ValueError, match=r"shares of \[\] without any block"):
        variance_explained({})
