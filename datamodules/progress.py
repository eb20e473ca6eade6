"""Where a run stands, read from the trainer: the only counter that a checkpoint restores exactly."""

from lightning.pytorch import Trainer


def batches_trained(trainer: Trainer | None) -> int:
    """Return how many batches a run has trained on, over all its epochs: the number of the next one.

    A loader cannot know this by itself: Lightning fetches ahead and workers read ahead, so when a checkpoint is saved
    the loader's own counter is beyond what was trained on. Nor does Lightning's epoch counter serve: a run limited by
    ``max_steps`` counts an epoch twice when it resumes from the end of one (seen in 2.6).

    Args:
        trainer: The trainer, at the moment at which a training loader is iterated; None stands for a new run.
    """
    if trainer is None:
        return 0
    # `processed` is raised right after the optimizer's step, before any hook that may save a checkpoint.
    processed: int = trainer.fit_loop.epoch_loop.batch_progress.total.state_dict()["processed"]
    return processed
