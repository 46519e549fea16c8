import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from cellprism import pl


def curve(*values):
    return pd.DataFrame({"value": values}, index=pd.RangeIndex(len(values), name="epoch"))


@pytest.fixture
def curves():
    return {
        "reconstruction_rna_train": curve(3, 2, 1),
        "reconstruction_rna_validation": curve(3.5, 2.5, 1.5),
        "train_loss_step": curve(9, 9, 9, 9, 9),
        "train_loss_epoch": curve(5, 4, 3),
        "validation_loss": curve(5.5, 4.5, 3.5),
        "critic_accuracy_train": curve(0.9, 0.7, 0.5),
    }


def test_history_draws_training_and_validation_of_a_term_in_one_panel(curves):
    panels = pl.history(curves)
    assert [panel.get_title() for panel in panels] == ["loss", "critic accuracy", "reconstruction rna"]
    lines = {line.get_label(): line.get_ydata() for line in panels[0].lines}
    np.testing.assert_array_equal(lines["training"], [5, 4, 3])
    np.testing.assert_array_equal(lines["validation"], [5.5, 4.5, 3.5])
    assert len(panels[1].lines) == 1


def test_history_takes_a_model(curves):
    class Trained:
        history = curves

    assert len(pl.history(Trained())) == 3


def test_history_skips_epochs_without_a_value(curves):
    sparse_curve = {"validation_loss": curve(1.0, np.nan, 3.0)}
    line = pl.history(sparse_curve)[0].lines[0]
    np.testing.assert_array_equal(line.get_xdata(), [0, 2])


def test_history_draws_into_the_axes_it_is_given(curves, shown):
    _, axes = plt.subplots(1, 3)
    assert list(pl.history(curves, ax=axes)) == list(axes)
    assert shown == []
    with pytest.raises(ValueError, match="1 axes for 3 terms"):
        pl.history(curves, ax=axes[:1])


@pytest.mark.parametrize("untrained", [{}, type("Untrained", (), {"history": None})()])
def test_history_of_an_untrained_model_says_to_train_it(untrained):
    with pytest.raises(ValueError, match=r"model.train\(\)"):
        pl.history(untrained)


@pytest.mark.parametrize("n_terms", range(1, 10))
def test_history_has_one_panel_per_term(n_terms):
    panels = pl.history({f"term{i}_train": curve(1.0, 2.0) for i in range(n_terms)})
    assert len(panels) == len(panels[0].figure.axes) == n_terms


def test_a_line_marks_where_a_stage_begins_and_stages_have_no_panel_of_their_own():
    epochs = pd.Index(range(6), name="epoch")
    curves = {
        "train_loss_epoch": pd.DataFrame({"loss": range(6)}, index=epochs),
        "stage": pd.DataFrame({"stage": [1, 1, 1, 2, 2, 2]}, index=epochs),
    }
    (panel,) = pl.history(curves, show=False)
    assert [line.get_xdata()[0] for line in panel.get_lines() if line.get_linestyle() == ":"] == [3.0]
