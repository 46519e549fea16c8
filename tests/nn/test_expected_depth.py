import torch

from cellprism.nn import ExpectedDepth


def test_expected_depth_is_log_linear_within_the_range_that_was_seen():
    depth = ExpectedDepth(2, 1)
    depth.set(1.0, torch.tensor([0.5, 0.0, 0.25]), 0.0, 2.0)
    latent = torch.tensor([[1.0, 9.0], [100.0, 0.0], [-100.0, 0.0]])
    found = depth(latent, torch.ones(3, 1))
    torch.testing.assert_close(found.log(), torch.tensor([1.75, 2.0, 0.0]))
