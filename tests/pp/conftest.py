import numpy as np
import pytest
from skimage.draw import disk, ellipse


@pytest.fixture
def field():
    """Two channels of a field of view and its label mask: five cells, one of them on the edge, two that touch."""
    random = np.random.default_rng(0)
    masks = np.zeros((90, 120), dtype=np.uint16)
    masks[disk((20, 30), 8)] = 3
    masks[ellipse(50, 40, 6, 10, rotation=0.5)] = 7
    masks[disk((60, 80), 7)] = 12
    masks[disk((60, 94), 7)] = 13
    masks[disk((2, 100), 9, shape=masks.shape)] = 40
    image = random.integers(1, 60000, size=(2, 90, 120)).astype(np.uint16)
    return image, masks
