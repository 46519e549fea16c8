"""Fit the codes of cells while everything else stands still."""

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import nn

from cellprism.data import Batch
from cellprism.latents import Posterior
from cellprism.module import LatentModule
from cellprism.objectives import Objective


def fit_codes(
    module: LatentModule,
    batch: Batch,
    start: dict[str, Posterior],
    *,
    n_steps: int,
    learning_rate: float = 0.05,
    objectives: Sequence[Objective] | None = None,
) -> dict[str, Posterior]:
    """Improve the codes of a batch's cells by what their measurements say through the decoders as they are.

    Parameters
    ----------
    module
        Left as it is.
    batch
        The cells, and what is known of them.
    start
        Where to start from, by block; the scales are kept.
    n_steps
        Steps of Adam on the means.
    learning_rate
        Its largest step, which falls to zero along half a cosine.
    objectives
        Terms to minimise, of which those that judge each cell alone are; the module's by default.

    Returns
    -------
    Posteriors of the same cells, by block.
    """
    chosen = module.objectives if objectives is None else tuple(objectives)
    terms = [
        (objective, network)
        for objective, network in zip(module.objectives, module.networks, strict=True)
        if objective.is_per_cell and objective in chosen
    ]
    if not terms or not batch.observed:
        return start
    with torch.inference_mode(mode=False), torch.enable_grad():
        if batch.cells.is_inference():  # made in inference mode, so that no gradient may pass it
            batch, start = deepcopy(batch), deepcopy(start)
        codes = {block: nn.Parameter(posterior.mean.detach().clone()) for block, posterior in start.items()}
        optimiser = torch.optim.Adam(codes.values(), learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, n_steps))
        for _ in range(n_steps):
            of_cells = {block: Posterior(code, start[block].log_scale) for block, code in codes.items()}
            outputs = module.outputs_of(batch, of_cells)
            values = [o.weight * value for o, network in terms for value in o.terms(outputs, network).values()]
            gradients = torch.autograd.grad(torch.stack(values).sum(), list(codes.values()), allow_unused=True)
            for code, gradient in zip(codes.values(), gradients, strict=True):
                code.grad = gradient
            optimiser.step()
            schedule.step()
    return {block: Posterior(codes[block].detach(), posterior.log_scale) for block, posterior in start.items()}
