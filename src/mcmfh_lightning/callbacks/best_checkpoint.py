"""The checkpoint of the best epoch."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor


class BestCheckpoint(ModelCheckpoint):
    """`ModelCheckpoint` whose record of the best survives that the run folder is moved, and that chooses by numbers.

    Lightning forgets the best value when a run resumes under another path of its folder (moved, or once relative and
    once absolute), and the next epoch would replace ``best.ckpt`` by a worse one. Where the monitored value is NaN in
    every epoch, it keeps the first one as if it were the best; here such an epoch is never kept.
    """

    def check_monitor_top_k(self, trainer: Trainer, current: Tensor | None = None) -> bool:
        """Decide whether an epoch is kept: not if its value is undefined."""
        if current is not None and bool(current.isnan()):
            return False
        return super().check_monitor_top_k(trainer, current)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the record; if the files lie in this run's folder, under their names here."""
        best = Path(state_dict["best_model_path"]).name
        if best and self.dirpath and (Path(self.dirpath) / best).is_file():
            state_dict = state_dict | {
                "dirpath": self.dirpath,
                "best_k_models": {self._here(path): score for path, score in state_dict["best_k_models"].items()},
                **{name: self._here(state_dict[name]) for name in ("best_model_path", "kth_best_model_path")},
            }
        super().load_state_dict(state_dict)

    def _here(self, path: str) -> str:
        # As Lightning joins them, or it would take one file for two.
        return f"{self.dirpath}/{Path(path).name}" if path else path
