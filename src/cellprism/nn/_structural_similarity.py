"""How alike two images look: brightness, contrast and structure in small windows."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

Images = Float[Tensor, "rows channels height width"]
Windows = Float[Tensor, "rows channels windows_down windows_right"]


def structural_similarity(first: Images, second: Images, *, window: int = 7) -> Windows:
    r"""Structural similarity of each window of two images with intensities in [0, 1].

    .. math:: \frac{(2 \mu_a \mu_b + c_1) (2 \sigma_{ab} + c_2)}
              {(\mu_a^2 + \mu_b^2 + c_1) (\sigma_a^2 + \sigma_b^2 + c_2)}, \qquad c_1 = .01^2, \; c_2 = .03^2

    with means, variances and the covariance of the window. 1 where the images are equal.

    Parameters
    ----------
    first, second
        Images of one shape, with sides of at least ``window``.
    window
        Side of the square windows, all of whose pixels weigh alike.

    Returns
    -------
    One value per window that lies within the image: the sides are shorter by ``window - 1``.

    References
    ----------
    Wang et al., Image quality assessment: from error visibility to structural similarity, IEEE Trans. Image
    Process. 13, 600 (2004).
    """

    def average(values: Images) -> Windows:
        return F.avg_pool2d(values, window, stride=1)

    unbiased = window**2 / (window**2 - 1)
    mean_a, mean_b = average(first), average(second)
    variance_a, variance_b = (
        unbiased * (average(x.square()) - mean.square()) for x, mean in ((first, mean_a), (second, mean_b))
    )
    covariance = unbiased * (average(first * second) - mean_a * mean_b)
    brightness = (2 * mean_a * mean_b + 0.01**2) / (mean_a.square() + mean_b.square() + 0.01**2)
    return brightness * (2 * covariance + 0.03**2) / (variance_a + variance_b + 0.03**2)
