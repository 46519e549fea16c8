import warnings

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData

N_CELLS = 60
N_HELD_OUT = 20


def make_mudata(x, y, x_names, y_names, x_labels, y_labels):
    """Two modalities with an embedding and labels; mudata's announcements are not what is tested."""
    modalities = {}
    for name, embedding, cells, labels in (("rna", x, x_names, x_labels), ("atac", y, y_names, y_labels)):
        obs = pd.DataFrame({"cell_type": pd.Categorical(labels)}, index=pd.Index(cells))
        modalities[name] = AnnData(np.zeros((len(cells), 1), dtype=np.float32), obs=obs)
        modalities[name].var_names = [f"{name}_feature"]
        modalities[name].obsm["X_shared"] = embedding
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MuData(modalities)


@pytest.fixture
def embeddings():
    random = np.random.default_rng(0)
    labels = random.choice(["B", "NK", "T"], size=N_CELLS)
    x = 2.0 * np.stack([labels == name for name in ("B", "NK", "T")], axis=1) + random.normal(size=(N_CELLS, 3))
    return x, x + random.normal(size=(N_CELLS, 3)), labels


@pytest.fixture
def names():
    return np.array([f"cell{i:02d}" for i in range(N_CELLS)], dtype=object)


@pytest.fixture
def held_out(names):
    return names[-N_HELD_OUT:]


@pytest.fixture
def paired(embeddings, names):
    x, y, labels = embeddings
    return make_mudata(x, y, names, names, labels, labels)


@pytest.fixture
def shuffled(embeddings, names):
    """The same cells, those of the second modality in another order."""
    x, y, labels = embeddings
    order = np.random.default_rng(1).permutation(N_CELLS)
    return make_mudata(x, y[order], names, names[order], labels, labels[order])


@pytest.fixture
def unpaired(embeddings, names):
    x, y, labels = embeddings
    return make_mudata(x, y, names, [f"{name}_atac" for name in names], labels, labels)
