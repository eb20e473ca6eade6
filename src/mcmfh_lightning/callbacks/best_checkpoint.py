"""The checkpoint of the best epoch."""

from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import ModelCheckpoint


class BestCheckpoint(ModelCheckpoint):
    """`ModelCheckpoint` whose record of the best survives that the run folder is moved.

    Lightning forgets the best value when a run resumes under another path of its folder (moved, or once relative and
    once absolute), and the next epoch would replace ``best.ckpt`` by a worse one.
    """

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
