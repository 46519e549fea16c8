"""Processes that train together start alike, and end with one model."""

from multiprocessing import current_process

import torch
from lightning.pytorch import Callback, Trainer
from torch.nn.parallel import DistributedDataParallel

from cellprism.latents import FreeLatents
from cellprism.training._plan import TrainingPlan
from cellprism.training._processes import gathered, is_shared


class Together(Callback):
    """Let processes start from one state, hold the codes of their own cells alone, and end with one model."""

    def __init__(self) -> None:
        self.all_codes: FreeLatents | None = None

    def setup(self, trainer: Trainer, pl_module: TrainingPlan, stage: str) -> None:  # type: ignore[override]
        """Start from what the first process has, but for the random numbers."""
        if not is_shared(trainer):
            return
        if type(current_process()).__name__ == "ForkProcess":
            torch.set_num_threads(1)  # threads do not survive a fork, and OpenMP would wait for them for ever
        torch.manual_seed(int(torch.randint(2**62, ())) + trainer.global_rank)
        module = pl_module.module.cpu()  # to a device once it is known what is held there
        module.load_state_dict(trainer.strategy.broadcast(module.state_dict()))
        if module.codes is not None:
            self.all_codes = module.codes
            module.codes = self.all_codes.part(torch.from_numpy(trainer.datamodule.own_cells()))
        # codes are of one process alone, and buffers do not change while a stage runs
        apart = [name for name, _ in pl_module.named_parameters() if ".codes.tables." in name]
        apart += [name for name, _ in pl_module.named_buffers()]
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(pl_module, apart)

    def on_fit_end(self, trainer: Trainer, pl_module: TrainingPlan) -> None:  # type: ignore[override]
        """Gather the codes, and agree on whether the user stopped training."""
        pl_module.is_interrupted = any(gathered(trainer, pl_module.is_interrupted))
        if self.all_codes is not None:
            for cells, codes in gathered(trainer, _codes_of(pl_module)):
                self.all_codes.set(cells, codes)
            pl_module.module.codes = self.all_codes

    def on_exception(self, trainer: Trainer, pl_module: TrainingPlan, exception: BaseException) -> None:  # type: ignore[override]
        """Put all codes back, with those of this process as far as they came."""
        if self.all_codes is not None:
            self.all_codes.set(*_codes_of(pl_module))
            pl_module.module.codes = self.all_codes


def _codes_of(plan: TrainingPlan) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    codes = plan.module.codes
    return codes.cells, {name: table.weight.detach().cpu() for name, table in codes.tables.items()}
