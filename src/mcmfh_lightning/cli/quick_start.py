"""A quick start of the commands that train and test: what they do not use is not imported.

Lightning imports torchmetrics for two classes. torchmetrics imports transformers, torchvision and scipy, for metrics of
texts, images and sounds, and that takes longer than torch itself. Lightning also imports torch's compiler, to ask
whether a model was compiled and to leave a function of its own out: that takes a third as long as torch. Only a fit may
compile, and its optimizers import it anyway.
"""

import gc
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from threading import RLock
from types import ModuleType
from typing import Any

_COMPILER = "torch._dynamo"


@contextmanager
def quick_imports(*, sleepy: bool) -> Iterator[None]:
    """Import torch and Lightning without what nothing asks for; do nothing where torch is there already.

    Nor is anything looked over for garbage, now or later: what modules define stays to the end.

    Args:
        sleepy: Whether nothing is trained: torch's compiler waits for whoever asks for it, and torch's threads sleep
            while they wait, unless the environment says otherwise. They spin by default, which doubles the processor
            time of many short steps, and others on the machine wait for it.
    """
    if "torch" in sys.modules:
        yield
        return
    if sleepy:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    gc.disable()
    stand_in = _Compiler(_COMPILER)
    try:
        _take_torchmetrics_on_demand()
        if sleepy:
            sys.modules[_COMPILER] = stand_in
        yield
    finally:
        if sys.modules.get(_COMPILER) is stand_in:  # whoever imports it from here on gets it
            del sys.modules[_COMPILER]
        gc.freeze()
        gc.enable()


class _Compiled(type):
    """Type whose instances are the modules that torch has compiled: none before its compiler is there."""

    def __instancecheck__(cls, instance: object) -> bool:
        compiler = sys.modules.get(_COMPILER)
        if compiler is None or isinstance(compiler, _Compiler):
            return False
        return isinstance(instance, compiler.OptimizedModule)


class _OptimizedModule(metaclass=_Compiled):
    """Stand-in for the class of that name."""


class _Compiler(ModuleType):
    """Stand-in for torch's compiler while others are imported: what they need of it, and the rest when asked."""

    OptimizedModule = _OptimizedModule

    @staticmethod
    def disable(function: Callable[..., Any] | None, *rules: object, **more: object) -> Callable[..., Any]:
        """Leave a function out of what is compiled, once there is a compiler; decorate with rules without one."""
        if function is None:
            return lambda one: _Compiler.disable(one, *rules, **more)
        known: list[Callable[..., Any]] = []

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # those of the function
            if not known and _COMPILER in sys.modules:
                known.append(sys.modules[_COMPILER].disable(function, *rules, **more))
            return (known or [function])[0](*args, **kwargs)

        return call

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(f"module {_COMPILER!r} has no attribute {name!r}")
        if sys.modules.get(_COMPILER) is self:
            del sys.modules[_COMPILER]
        return getattr(import_module(_COMPILER), name)


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
