"""A callback that sends its own process a signal; named by its class path on the command line of test_requeue.py."""

import os
import signal

from lightning.pytorch import Callback


class SignalAt(Callback):
    """What a cluster does before the time limit, at a step that the test knows."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGUSR1)
