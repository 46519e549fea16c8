import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection, PathCollection

from cellprism.pl._blocks import blocks


@pytest.fixture
def scores():
    """Two blocks; one class and two numbers."""
    rows = [
        ("shared", "cell type", "auroc", 0.9),
        ("shared", "size", "r2", 0.4),
        ("shared", "depth", "r2", 0.01),
        ("rna", "cell type", "auroc", 0.5),
        ("rna", "size", "r2", -0.1),
        ("rna", "depth", "r2", 0.6),
    ]
    table = pd.DataFrame(rows, columns=["block", "target", "metric", "score"])
    chance = np.where(table["metric"] == "auroc", 0.5, 0.0)
    interval = {"lower": table["score"] - 0.05, "upper": table["score"] + 0.05}
    return table.assign(**interval, null_mean=chance, null_upper=chance + 0.03)


def points(panel):
    """Position, face and edge of each block's points."""
    drawn = [part for part in panel.collections if isinstance(part, PathCollection)]
    return [(part.get_offsets(), part.get_facecolors(), part.get_edgecolors()) for part in drawn]


def test_each_metric_has_a_panel_and_each_target_a_row_from_the_top(scores):
    panels = blocks(scores)
    assert [panel.get_xlabel() for panel in panels] == ["AUROC", "$R^2$"]
    assert [[label.get_text() for label in panel.get_yticklabels()] for panel in panels] == [
        ["cell type"],
        ["size", "depth"],
    ]
    assert panels[1].yaxis_inverted()


def test_points_are_scores_by_target_and_block(scores):
    panel = blocks(scores)[1]
    for name, (offsets, _, _) in zip(("shared", "rna"), points(panel), strict=True):
        own = scores[(scores["block"] == name) & (scores["metric"] == "r2")]
        np.testing.assert_allclose(offsets[:, 0], own["score"])
        np.testing.assert_array_equal(np.round(offsets[:, 1]), [0, 1])
    heights = [offsets[:, 1] for offsets, _, _ in points(panel)]
    assert (heights[0] < heights[1]).all()


def test_lines_are_intervals_and_bars_the_null(scores):
    panel = blocks(scores)[0]
    lines = [part for part in panel.collections if isinstance(part, LineCollection)]
    ends = [line.get_segments()[0][:, 0] for line in lines]
    np.testing.assert_allclose(ends, [[0.85, 0.95], [0.45, 0.55]])
    np.testing.assert_allclose([[bar.get_x(), bar.get_width()] for bar in panel.patches], [[0.5, 0.03]] * 2)


def test_scores_within_the_null_are_hollow_and_a_block_has_one_colour(scores):
    tab10 = matplotlib.colormaps["tab10"]
    for panel, is_above in zip(blocks(scores), ([[True], [False]], [[True, False], [False, True]]), strict=True):
        for position, ((_, faces, edges), expected) in enumerate(zip(points(panel), is_above, strict=True)):
            for face, filled in zip(faces, expected, strict=True):
                np.testing.assert_allclose(face, tab10(position) if filled else 1)
            assert (edges == tab10(position)).all()


def test_a_score_that_is_missing_leaves_a_gap(scores):
    (panel,) = blocks(scores[scores["metric"] == "r2"].drop(index=4))
    assert [len(offsets) for offsets, _, _ in points(panel)] == [2, 1]
    assert points(panel)[1][0][0, 1] > 1


def test_blocks_draws_into_the_axes_it_is_given(scores, shown):
    _, axes = plt.subplots(1, 2)
    assert list(blocks(scores, ax=axes)) == list(axes)
    assert shown == []
    with pytest.raises(ValueError, match=r"1 axes for 2 metrics: \['auroc', 'r2'\]"):
        blocks(scores, ax=axes[0])


def test_blocks_refuses_what_are_no_scores(scores):
    with pytest.raises(ValueError, match="0 scores"):
        blocks(scores[:0])
    with pytest.raises(ValueError, match=r"without columns \['lower'\].*Give the DataFrame of tl.probe"):
        blocks(scores.drop(columns="lower"))
    with pytest.raises(ValueError, match="several scores of block 'shared' for 'cell type'"):
        blocks(pd.concat([scores, scores]))
