import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from cellprism import pl


def curve(method, name, false, true):
    points = {"false_positive_rate": np.array(false, dtype=float), "true_positive_rate": np.array(true, dtype=float)}
    return pd.DataFrame({"method": method, "class": name, **points})


@pytest.fixture
def curves():
    return pd.concat(
        [
            curve("real", "G1", [0, 0, 1], [0, 1, 1]),
            curve("real", "S", [0, 0.5, 1], [0, 1, 1]),
            curve("model", "G1", [0, 0, 1], [0, 0.6, 1]),
            curve("model", "S", [0, 1], [0, 1]),
            curve("ridge", "G1", [0, 0.2, 1], [0, 1, 1]),
        ]
    )


def lines(panel, style):
    return [line for line in panel.lines[1:] if line.get_linestyle() == style]


def test_each_method_has_a_panel_with_a_line_per_class_beside_that_of_real_cells(curves):
    panels = pl.roc(curves)
    assert [panel.get_title() for panel in panels] == ["model", "ridge"]
    for panel, method in zip(panels, ("model", "ridge"), strict=True):
        for style, drawn in (("--", "real"), ("-", method)):
            expected = [part for _, part in curves[curves["method"] == drawn].groupby("class")]
            for line, points in zip(lines(panel, style), expected, strict=True):
                np.testing.assert_array_equal(line.get_xdata(), points["false_positive_rate"])
                np.testing.assert_array_equal(line.get_ydata(), points["true_positive_rate"])


def test_a_class_has_one_colour_in_all_panels(curves):
    tab10 = matplotlib.colormaps["tab10"]
    for panel in pl.roc(curves):
        for style in ("-", "--"):
            for position, line in enumerate(lines(panel, style)):
                assert tuple(line.get_color()) == tab10(position)


def test_the_legend_gives_the_area_under_the_curves(curves):
    texts = [text.get_text() for text in pl.roc(curves)[0].get_legend().get_texts()]
    assert texts == ["G1 0.80 (real 1.00)", "S 0.50 (real 0.75)"]


def test_real_cells_alone_have_a_panel(curves):
    (panel,) = pl.roc(curves[curves["method"] == "real"])
    assert panel.get_title() == "real"
    assert len(lines(panel, "-")) == 2
    assert [text.get_text() for text in panel.get_legend().get_texts()] == ["G1 1.00", "S 0.75"]


def test_roc_draws_into_the_axes_it_is_given(curves, shown):
    _, axes = plt.subplots(1, 2)
    assert list(pl.roc(curves, ax=axes)) == list(axes)
    assert shown == []
    with pytest.raises(ValueError, match=r"1 axes for 2 methods: \['model', 'ridge'\]"):
        pl.roc(curves, ax=axes[:1])


def test_roc_refuses_what_are_no_curves(curves):
    with pytest.raises(ValueError, match="expected at least one with"):
        pl.roc(curves[:0])
    with pytest.raises(ValueError, match=r"Give .curves of tl.classifier_transfer"):
        pl.roc(curves.drop(columns="class"))
