"""Run by test_survival.py: each line of standard input is a command of ``mcmfh-archive`` for a child of its own.

Imports are made once and before the fork: twenty children start in no time. Each line of output is a child's pid, then
how it ended. What a child has committed is noted in a file, one line a commit.
"""

import json
import os
import sys
from importlib import import_module

import torch

from mcmfh_lightning.archive import build, source
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.cli.archive import main


def note_commits(log):
    build.COMMIT_ITEMS = source._FEATURE_ROWS = 20
    build._QUICK = 1
    add = ItemTable.add

    def noted(table, batch, **options):
        result = add(table, batch, **options)
        line = json.dumps(batch["id"].to_pylist()) + "\n"
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, line.encode())
        os.close(descriptor)
        return result

    ItemTable.add = noted


def serve():
    torch.set_num_threads(1)
    # Most of what LanceDB imports; itself it starts a thread, which a fork would not survive.
    for name in ("mcmfh_lightning.archive.build", "mcmfh_lightning.archive.search", "lance_namespace"):
        import_module(name)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        log, *command = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.setsid()
            os.dup2(2, 1)
            note_commits(log)
            try:
                main(command)
            except SystemExit as ended:
                os._exit(int(ended.code or 0))
            except BaseException:
                import traceback

                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
