"""A quick start of the commands that train and test: what they do not use is not imported.

Lightning imports torchmetrics for two classes. torchmetrics imports transformers, torchvision and scipy, for metrics of
texts, images and sounds, and that takes longer than torch itself.
"""

import gc
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec, module_from_spec
from threading import RLock


@contextmanager
def quick_imports(*, sleepy: bool) -> Iterator[None]:
    """Import torch and Lightning without what nothing asks for; do nothing where torch is there already.

    Nor is anything looked over for garbage, now or later: what modules define stays to the end.

    Args:
        sleepy: Whether torch's threads sleep while they wait, unless the environment says otherwise. They spin by
            default, which doubles the processor time of many short steps, and others on the machine wait for it.
    """
    if "torch" in sys.modules:
        yield
        return
    if sleepy:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    gc.disable()
    try:
        _take_torchmetrics_on_demand()
        yield
    finally:
        gc.freeze()
        gc.enable()


def _take_torchmetrics_on_demand() -> None:
    """Import the two classes that Lightning needs; the rest follows when something asks for any of it."""
    spec = find_spec("torchmetrics")
    if spec is None or spec.loader is None:  # a message says so where it is imported
        return
    loader, package = spec.loader, module_from_spec(spec)
    known = vars(package)
    known["_logger"] = logging.getLogger("torchmetrics")
    sys.modules["torchmetrics"] = package
    try:
        import torchmetrics.utilities  # noqa: F401  # first, as its modules import each other in a circle
        from torchmetrics.__about__ import __version__
        from torchmetrics.collections import MetricCollection
        from torchmetrics.metric import Metric
    except (ImportError, AttributeError):  # a release with other modules, or no torch: import it as ever
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchmetrics"]:
            del sys.modules[name]
        return

    lock = RLock()
    busy: list[str] = []

    def rest(name: str) -> object:
        absent = AttributeError(f"module 'torchmetrics' has no attribute {name!r}")
        if name.startswith("__") and name != "__all__":
            raise absent
        with lock:  # other threads wait for the whole of it
            if busy:  # its own modules, which import each other in a circle
                raise absent
            if known.get("__getattr__") is rest:
                busy.append(name)
                try:
                    loader.exec_module(package)
                finally:
                    busy.clear()
                known.pop("__getattr__", None)
        if name not in known:
            raise absent
        return known[name]

    known |= {"__version__": __version__, "Metric": Metric, "MetricCollection": MetricCollection, "__getattr__": rest}
