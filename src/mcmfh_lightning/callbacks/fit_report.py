"""The last lines of a fit: which epoch it has chosen, and what that is worth."""

from math import isfinite

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from mcmfh_lightning.callbacks.checkpoints import LastCheckpoint, read_chosen, selecting_callback
from mcmfh_lightning.errors import say
from mcmfh_lightning.evaluation.provenance import CONSTANT_MONITOR, MONITOR, QUERIES_MONITOR

FEW_QUERIES = 20
"""Fewer than this, and one query decides which epoch is the best."""


class FitReport(Callback):
    """Prints at the end of a fit the chosen epoch, its value and its file, and whether a constant ranking is better.

    The command line adds one; epochs are counted from 0, as in ``metrics.csv``. In a ``fast_dev_run`` nothing is said.
    """

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print it."""
        if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]  # set at run time
            for line in _lines(trainer):
                say(line)


def _lines(trainer: Trainer) -> list[str]:
    keeper = selecting_callback(trainer)
    score = None if keeper is None else keeper.best_model_score
    if keeper is None or score is None or not isfinite(score):
        return [f"no epoch was chosen: {_why_none(keeper)}{_last(trainer)}"]
    epoch = read_chosen(trainer).get("epoch", "?")
    lines = [f"chosen: epoch {epoch}, {keeper.monitor} {float(score):.3f}, {keeper.best_model_path}"]
    if keeper.monitor != MONITOR:
        return lines
    queries = int(trainer.callback_metrics.get(QUERIES_MONITOR, 0))
    constant = trainer.callback_metrics.get(CONSTANT_MONITOR)
    if constant is not None:
        verdict = "better than this model" if float(constant) > float(score) else "this model is better"
        lines.append(
            "the better of two constant rankings (one order of the items for all queries: by label popularity, or "
            f"normals first) has {float(constant):.3f} on the same {queries:,} queries: {verdict}"
        )
    if queries < FEW_QUERIES:
        lines.append(
            f"only {queries} validation queries have a relevant item: these numbers say little; validate on more"
        )
    return lines


def _why_none(keeper: ModelCheckpoint | None) -> str:
    if keeper is None:
        return "no callback keeps the best epoch"
    return f"{keeper.monitor} was not measured, or undefined in every epoch"


def _last(trainer: Trainer) -> str:
    paths = [one.best_model_path for one in trainer.checkpoint_callbacks if isinstance(one, LastCheckpoint)]
    return f"; the last one is in {paths[0]}" if paths and paths[0] else ""
