"""Teach encoders the codes that were fitted to cells."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn

from cellprism.objectives._base import Objective

if TYPE_CHECKING:
    from cellprism.module import Outputs


@dataclass(frozen=True, kw_only=True)
class CodeRegression(Objective):
    r"""Distance of what each encoder infers from the code of its cell.

    .. math:: \frac{1}{\bar p} \sum_m \sum_{b} \frac{1}{|m|} \sum_{i \in m}
              KL(q(z_{b,i}) \,\|\, q_m(z_b \mid x_i^{(m)}))

    over the blocks *b* that modality *m* sees, with *q* the code and the noise around it and :math:`q_m` the encoder's
    posterior, which thereby learns how far it can be off; or, with ``"squared_error"``, the mean over dimensions of
    :math:`(c - \mu_m)^2` as in the paper, which leaves the encoder's scale alone. Codes do not move. Zero where every
    posterior is that of the code.

    Parameters
    ----------
    weight
        Multiplies the term.
    warmup
        Share of the epochs over which the weight rises from 0.
    distance
        ``"kl"`` (unit: nats per feature) or ``"squared_error"``.

    References
    ----------
    Second stage of :cite:t:`zhang2026`.
    """

    distance: Literal["kl", "squared_error"] = "kl"

    name: ClassVar[str] = "code_regression"
    is_of_encoders: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.distance not in ("kl", "squared_error"):
            raise ValueError(f"CodeRegression has distance {self.distance!r}; expected 'kl' or 'squared_error'.")

    def terms(self, outputs: "Outputs", network: nn.Module) -> dict[str, Float[Tensor, ""]]:
        """Give the distance per modality and block."""
        losses = {}
        for (modality, block), inferred in outputs.posteriors.items():
            code = outputs.code(modality, block)
            if self.distance == "kl":
                losses[f"{modality}_{block}"] = code.divergence_from(inferred).mean() / outputs.n_features_mean
            else:
                losses[f"{modality}_{block}"] = (code.mean - inferred.mean).square().mean()
        return losses
