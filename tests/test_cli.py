import re
import signal
import subprocess
import sys
import time
import warnings

import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from cellprism import cli, datasets

N_CELLS = 160
LAYERS = {"rna": "translated_from_protein", "protein": "translated_from_rna"}


def counts(labels, n_features, seed):
    random = np.random.default_rng(seed)
    rates = np.random.default_rng(9).gamma(2.0, size=(3, n_features))
    return random.poisson(rates[labels]).astype(np.float32)


def make_cells(x_names, y_names):
    classes = np.arange(N_CELLS) % 3
    parts = {}
    for seed, (name, cells, n_features) in enumerate((("rna", x_names, 12), ("protein", y_names, 8))):
        obs = pd.DataFrame({"cell_type": np.array(["B", "NK", "T"])[classes]}, index=pd.Index(cells))
        obs["donor"] = np.where(np.arange(N_CELLS) < 120, "D1", "D2")
        parts[name] = AnnData(counts(classes, n_features, seed), obs=obs)
        parts[name].var_names = [f"{name}{i}" for i in range(n_features)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mudata.MuData(parts)


def write(mdata, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mdata.write_h5mu(path)
    return path


def read(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mudata.read_h5mu(path)


@pytest.fixture(scope="module")
def names():
    return [f"cell{i}" for i in range(N_CELLS)]


@pytest.fixture(scope="module")
def data(names, tmp_path_factory):
    return write(make_cells(names, names), tmp_path_factory.mktemp("data") / "cells.h5mu")


@pytest.fixture
def run(tmp_path, capsys):
    """Run the command in a folder of its own, with few epochs; give exit status, stdout and stderr."""

    def call(*words, epochs=2, figures=False):
        extra = [] if figures else ["--no-figures"]
        status = cli.main(
            ["run", *map(str, words), "--epochs", str(epochs), "--output", str(tmp_path / "out.h5mu"), *extra]
        )
        captured = capsys.readouterr()
        sys.stderr.write(captured.err)  # shown by pytest when a test fails
        return status, captured.out, captured.err

    return call


def refused(run, capsys, *words):
    """Give the one line on stderr of a command that must end with exit status 2."""
    try:
        status, _, err = run(*words)
    except SystemExit as stop:
        status, err = stop.code, capsys.readouterr().err
    assert status == 2
    *before, last = err.strip().splitlines()
    assert last.startswith("cellprism")
    assert all(line.startswith("mdata[") for line in before)  # what each modality is read as
    return last


# ---- results


def test_a_run_writes_slots_scores_and_figures(run, data, tmp_path):
    status, out, _ = run(data, "--labels", "cell_type", figures=True)
    assert status == 0
    written = read(tmp_path / "out.h5mu")
    assert written.obsm["X_shared"].shape[0] == N_CELLS
    for name, layer in LAYERS.items():
        assert {"X_shared", "X_private"} <= set(written[name].obsm)
        assert np.isfinite(written[name].layers[layer]).all()
        assert np.isfinite(written[name].layers["reconstructed"]).all()
    assert written.obs["cellprism_held_out"].sum() == N_CELLS // 4
    figures = {path.name for path in (tmp_path / "out_figures").iterdir()}
    assert figures == {
        "loss.png", "umap_modality.png", "umap_labels.png",
        "translation_rna_to_protein.png", "translation_protein_to_rna.png",
    }  # fmt: skip
    assert all((tmp_path / "out_figures" / name).read_bytes().startswith(b"\x89PNG") for name in figures)
    assert "Wall time" in out
    assert "MB" in out


def test_the_tables_put_held_out_cells_first_and_name_training_cells(run, data):
    _, out, _ = run(data, "--labels", "cell_type")
    for title in ("Alignment", "Translation of rna to protein", "Translation of protein to rna"):
        methods = re.findall(
            r"^(\S.*?, (?:held out|training cells)) ", out.split(title)[1].split("\n\n")[0], re.MULTILINE
        )
        assert methods[0] == "CrossModalVAE, held out"
        assert methods[-1] == "CrossModalVAE, training cells"
        assert all(name.endswith("held out") for name in methods[:-1])
    for baseline in ("CCA", "class probabilities", "mean profile", "nearest donor", "ridge", "label x class means"):
        assert baseline in out
    for score in ("FOSCTTM", "partner recall at 10", "labels rna to protein", "labels protein to rna", "correlation"):
        assert score in out


def test_the_saved_model_gives_the_latents_that_were_written(run, data, tmp_path):
    from cellprism import CrossModalVAE

    run(data)
    written = read(tmp_path / "out.h5mu")
    model = CrossModalVAE.load(tmp_path / "out_model", written)
    np.testing.assert_allclose(model.get_latent_representation(), written.obsm["X_shared"], atol=1e-5)


def test_the_same_seed_gives_the_same_scores(run, data):
    outputs = [run(data, "--seed", 3)[1] for _ in range(2)]
    tables = [output.split("Wall time")[0] for output in outputs]
    assert "Alignment" in tables[0]
    assert tables[0] == tables[1]


def test_held_out_cells_do_not_influence_the_model(run, data, names, tmp_path):
    run(data, "--held-out", "donor=D2")
    before = read(tmp_path / "out.h5mu")["rna"].obsm["X_shared"]
    changed = make_cells(names, names)
    changed["rna"].X[120:] = changed["rna"].X[120:][::-1] * 3
    run(write(changed, tmp_path / "changed.h5mu"), "--held-out", "donor=D2")
    after = read(tmp_path / "out.h5mu")["rna"].obsm["X_shared"]
    np.testing.assert_allclose(before[:120], after[:120], atol=1e-5)


def test_a_column_chooses_the_held_out_cells(run, data, tmp_path):
    _, out, _ = run(data, "--held-out", "donor=D2")
    held_out = read(tmp_path / "out.h5mu").obs["cellprism_held_out"].to_numpy()
    np.testing.assert_array_equal(held_out, np.arange(N_CELLS) >= 120)
    assert "40 cells held out (donor is D2)" in out


def test_holding_out_nothing_scores_nothing(run, data):
    status, out, _ = run(data, "--held-out", "0")
    assert status == 0
    assert "nothing is scored" in out
    assert "Alignment" not in out


def test_unpaired_cells_are_scored_by_labels_alone_and_the_command_says_so(run, names, tmp_path):
    unpaired = write(make_cells(names, [f"{name}-p" for name in names]), tmp_path / "unpaired.h5mu")
    status, out, _ = run(unpaired, "--labels", "cell_type")
    assert status == 0
    assert "0 held-out cells were measured in both rna and protein" in out
    assert "labels both" in out
    assert "FOSCTTM" not in out.split("Alignment")[1].split("\n")[1]
    assert "Translation" not in out
    assert "protein_translated" in read(tmp_path / "out.h5mu")["rna"].obsm


def test_ignored_pairs_are_no_pairs_to_the_model_but_are_scored(run, data):
    status, out, err = run(data, "--labels", "cell_type", "--ignore-pairs")
    assert status == 0
    assert " Anchor(" not in err
    assert "MatchedReconstruction" in err
    assert "FOSCTTM" in out


def test_one_modality_is_trained_without_scores(run, data, tmp_path):
    status, out, _ = run(data, "--modalities", "rna")
    assert status == 0
    assert "one modality" in out
    assert "X_shared" not in read(tmp_path / "out.h5mu")["protein"].obsm


def test_an_earlier_output_can_be_used_again(run, data, tmp_path):
    run(data)
    again = (tmp_path / "out.h5mu").rename(tmp_path / "again.h5mu")
    assert run(again)[0] == 0


def test_warnings_of_other_packages_do_not_reach_the_terminal(run, data):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _, _, err = run(data)
    assert not caught
    assert "Warning" not in err


@pytest.mark.slow
def test_the_a549_co_assay_is_the_data_when_none_is_named(run):
    status, out, err = run(epochs=1)
    assert status == 0
    assert "rna and atac: 340 cells held out (author_split is test)" in out
    assert "difference 3 - 0" in out
    assert "labels     3 classes" in err


# ---- input that cannot be used


def test_a_missing_file_is_refused(run, capsys, tmp_path):
    assert "does not exist" in refused(run, capsys, tmp_path / "none.h5mu")


def test_a_folder_is_refused(run, capsys, tmp_path):
    assert "is a folder" in refused(run, capsys, tmp_path)


def test_a_text_file_named_h5mu_is_refused(run, capsys, tmp_path):
    (tmp_path / "text.h5mu").write_text("cell,gene\n")
    assert "is not an HDF5 file" in refused(run, capsys, tmp_path / "text.h5mu")


def test_a_truncated_file_is_refused(run, capsys, data, tmp_path):
    (tmp_path / "cut.h5mu").write_bytes(data.read_bytes()[:5000])
    assert "cut.h5mu" in refused(run, capsys, tmp_path / "cut.h5mu")


def test_an_anndata_file_is_refused_with_what_to_do(run, capsys, tmp_path):
    AnnData(np.ones((3, 2), dtype=np.float32)).write_h5ad(tmp_path / "cells.h5ad")
    assert "It looks like AnnData" in refused(run, capsys, tmp_path / "cells.h5ad")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--labels", "cell_typ"], "Did you mean 'cell_type'?"),
        (["--batch", "doner"], "Did you mean 'donor'?"),
        (["--modalities", "rna", "proteins"], "Did you mean 'protein'?"),
        (["--held-out", "donors=D2"], "Did you mean 'donor'?"),
        (["--held-out", "donor=D3"], "no cell has 'D3' in 'donor'"),
        (["--held-out", "half"], "expected KEY=VALUE, or a share"),
        (["--held-out", "1.5"], "expected KEY=VALUE, or a share"),
        (["--held-out", "0.999"], "leaves 0 cells to train on"),
        (["--seed", "one"], "expected a whole number of at least 0"),
        (["--n-shared", "0"], "expected a whole number of at least 1"),
        (["--colour", "red"], "unrecognized arguments"),
    ],
)
def test_a_wrong_option_is_refused_with_what_was_expected(run, capsys, data, words, message):
    assert message in refused(run, capsys, data, *words)


def test_values_that_no_modality_can_hold_are_refused(run, capsys, names, tmp_path):
    cells = make_cells(names, names)
    cells["rna"].X[0, 0] = np.nan
    err = refused(run, capsys, write(cells, tmp_path / "nan.h5mu"))
    assert "mdata['rna'].X has 1 NaN or infinite values" in err


def test_labels_with_one_class_are_refused(run, capsys, names, tmp_path):
    cells = make_cells(names, names)
    for adata in cells.mod.values():
        adata.obs["cell_type"] = "B"
    err = refused(run, capsys, write(cells, tmp_path / "one.h5mu"), "--labels", "cell_type")
    assert "at least two classes" in err


def test_results_of_something_else_are_not_replaced_unasked(run, capsys, names, tmp_path):
    cells = make_cells(names, names)
    cells["rna"].obsm["X_shared"] = np.zeros((N_CELLS, 2))
    taken = write(cells, tmp_path / "taken.h5mu")
    assert "mdata['rna'].obsm['X_shared']" in refused(run, capsys, taken)
    assert run(taken, "--overwrite")[0] == 0


def test_a_missing_output_folder_is_refused_before_training(data, capsys, tmp_path):
    assert cli.main(["run", str(data), "--output", str(tmp_path / "none" / "out.h5mu")]) == 2
    assert f"there is no folder {tmp_path / 'none'}" in capsys.readouterr().err


def test_the_input_is_never_the_output(data, capsys):
    assert cli.main(["run", str(data), "--output", str(data)]) == 2
    assert "is the input file" in capsys.readouterr().err


def test_a_folder_with_something_else_is_not_used_for_the_model(data, capsys, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    status = cli.main(["run", str(data), "--output", str(tmp_path / "out.h5mu"), "--save-model", str(tmp_path)])
    assert status == 2
    assert "something else than a model" in capsys.readouterr().err


# ---- being stopped


def test_an_interrupt_before_training_ends_with_one_line(run, data, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(datasets, "a549", interrupted)
    status, out, err = run()
    assert status == 130
    assert not out
    assert err.strip() == "cellprism: interrupted; nothing was written."


def test_an_interrupt_while_scoring_says_what_is_complete(run, data, monkeypatch, tmp_path):
    from cellprism.cli import _run

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(_run, "print_scores", interrupted)
    status, _, err = run(data)
    assert status == 130
    assert f"{tmp_path / 'out.h5mu'} is complete" in err
    assert "X_shared" in read(tmp_path / "out.h5mu").obsm


def test_an_interrupt_in_training_gives_usable_results(run, data, monkeypatch, tmp_path):
    from lightning.pytorch import Callback

    from cellprism.models import CrossModalVAE

    class CtrlC(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            signal.raise_signal(signal.SIGINT)

    train = CrossModalVAE.train
    monkeypatch.setattr(CrossModalVAE, "train", lambda self, **how: train(self, callbacks=[CtrlC()], **how))
    status, out, _ = run(data, epochs=10_000)
    assert status == 0
    assert "Alignment" in out
    assert np.isfinite(read(tmp_path / "out.h5mu").obsm["X_shared"]).all()


# ---- speed


def test_help_explains_every_option_at_once_and_imports_nothing_heavy():
    command = (
        "import sys; from cellprism.cli import main\n"
        "try: main(['run', '--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('torch', 'scvi', 'mudata', 'pandas', 'sklearn') if name in sys.modules])"
    )
    started = time.monotonic()
    found = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert time.monotonic() - started < 3
    assert found.stdout.strip().endswith("[]")
    for option in ("--labels", "--modalities", "--held-out", "--epochs", "--seed", "--output", "--figures"):
        assert option in found.stdout
