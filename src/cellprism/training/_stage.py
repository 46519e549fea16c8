"""One phase of training: what it minimises, what it trains, how long."""

from dataclasses import dataclass

from cellprism.objectives import Objective


@dataclass(frozen=True)
class Stage:
    """One phase of training.

    Parameters
    ----------
    name
        Name, for the log and the progress bar.
    objectives
        The model's objectives that hold.
    modalities
        Modalities that take part; cells without any of them are left out.
    frozen
        Modalities whose networks do not change.
    n_epochs
        Epochs at most; those of the schedule by default.
    uses_codes
        Whether latents are codes that belong to cells; else encoders infer them.
    has_frozen_decoders
        Whether decoders do not change.
    """

    name: str
    objectives: tuple[Objective, ...]
    modalities: tuple[str, ...]
    frozen: tuple[str, ...] = ()
    n_epochs: int | None = None
    uses_codes: bool = False
    has_frozen_decoders: bool = False


@dataclass(frozen=True)
class Optimisation:
    """How weights move.

    Parameters
    ----------
    learning_rate
        Step size of AdamW for the model.
    critic_learning_rate
        Step size of Adam for critics.
    code_learning_rate
        Step size of Adam for codes, which is lazy: a row moves only when its cell is in the batch.
    weight_decay
        Decay of weights, per step and unit of learning rate.
    max_gradient_norm
        Gradients are scaled down to this norm.
    """

    learning_rate: float = 2e-3
    critic_learning_rate: float = 1e-3
    code_learning_rate: float = 3e-2
    weight_decay: float = 1e-2
    max_gradient_norm: float = 10.0

    def __post_init__(self) -> None:
        for name in ("learning_rate", "critic_learning_rate", "code_learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; expected a number above 0.")
