import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.linear_model import LinearRegression

from cellprism.data import SparseRows
from cellprism.nn import MLP, CriticNetwork, ExpectedDepth, NamedModules, SparseLinear


def test_a_sparse_linear_map_equals_the_dense_one_in_values_and_gradients():
    matrix = sparse.random(6, 9, density=0.3, format="csr", random_state=1, dtype=np.float32)
    rows = SparseRows.from_scipy(matrix)
    results = []
    for is_sparse in (True, False):
        torch.manual_seed(0)
        layer = SparseLinear(9, 4)
        layer.center.uniform_()
        if is_sparse:
            out = layer.sparse(rows.pattern.indices, rows.pattern.rows, rows.pattern.offsets, rows.values)
        else:
            out = layer(torch.from_numpy(matrix.toarray()))
        out.square().sum().backward()
        results.append((out.detach(), layer.weight.grad, layer.bias.grad))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_an_empty_row_gives_the_bias():
    layer = SparseLinear(3, 2)
    torch.nn.init.constant_(layer.bias, 1.5)
    empty = torch.zeros(0, dtype=torch.long)
    out = layer.sparse(empty, empty, torch.tensor([0, 0]), torch.zeros(0))
    assert torch.equal(out, torch.full((1, 2), 1.5))


def test_without_layers_a_network_is_the_identity():
    inputs = torch.randn(4, 3)
    assert torch.equal(MLP(3, 8, 0, 0.0)(inputs), inputs)


def test_a_network_treats_each_row_alone():
    torch.manual_seed(0)
    network, inputs = MLP(3, 8, 2, 0.0), torch.randn(4, 3)
    torch.testing.assert_close(network(inputs)[2:3], network(inputs[2:3]))


def test_dropout_acts_in_training_only():
    torch.manual_seed(0)
    network, inputs = MLP(3, 64, 1, 0.5), torch.randn(4, 3)
    assert torch.equal(network.eval()(inputs), network(inputs))
    assert not torch.equal(network.train()(inputs), network(inputs))


def test_a_critic_scores_every_modality():
    assert CriticNetwork(3, 2, 4, 8)(torch.randn(6, 5)).shape == (6, 4)


@pytest.mark.parametrize("name", ["train", "rna.1", "a/b", "", "parameters"])
def test_networks_may_have_any_name(name):
    modules = NamedModules({name: torch.nn.Linear(1, 1), "other": torch.nn.Linear(2, 2)})
    assert modules[name].in_features == 1
    assert list(modules) == [name, "other"]
    assert len(list(modules.parameters())) == 4
    modules.train()
    assert modules[name].training


def test_a_missing_network_is_a_key_error():
    with pytest.raises(KeyError, match="atac"):
        NamedModules({"rna": torch.nn.Linear(1, 1)})["atac"]


def test_an_expected_depth_stays_in_the_range_that_was_seen():
    depth = ExpectedDepth(1, 1)
    depth.set(0.0, torch.tensor([1.0, 0.0]), -1.0, 2.0)
    found = depth(torch.tensor([[-9.0], [1.0], [9.0]]), torch.ones(3, 1))
    np.testing.assert_allclose(found.log().numpy(), [-1, 1, 2], rtol=1e-5)


def test_an_expected_depth_is_what_the_regression_predicts():
    random = np.random.default_rng(0)
    shared, batches = random.normal(size=(50, 3)), np.eye(2)[np.arange(50) % 2]
    log_depth = 7 + shared @ [0.5, -0.2, 0.1] + batches @ [0.3, -0.3]
    fitted = LinearRegression(fit_intercept=True).fit(np.concatenate([shared, batches], 1), log_depth)
    depth = ExpectedDepth(3, 2)
    depth.set(float(fitted.intercept_), torch.from_numpy(fitted.coef_), -20.0, 20.0)
    found = depth(torch.from_numpy(np.float32(shared)), torch.from_numpy(np.float32(batches)))
    np.testing.assert_allclose(found.numpy(), np.exp(log_depth), rtol=1e-4)
