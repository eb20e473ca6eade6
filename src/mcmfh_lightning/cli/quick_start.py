"""A quick start of the commands that train and test: what they do not use is not imported.

Lightning imports torchmetrics for two classes. torchmetrics imports transformers, torchvision and scipy, for metrics of
texts, images and sounds, and that takes longer than torch itself. It imports torch's compiler to recognize modules that
were compiled, and to say what not to compile; that takes as long again, and a test compiles nothing. And it imports
triton to recognize kernels.
"""

import atexit
import gc
import logging
import os
import sys
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from functools import wraps
from importlib.util import find_spec, module_from_spec
from threading import RLock
from types import ModuleType
from typing import Any

_PACKAGES = ("torchmetrics", "lightning")
_COMPILER, _KERNELS = "torch._dynamo", "triton.runtime.jit"


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
    atexit.register(_free_kernels)
    try:
        if _take_torchmetrics_on_demand():
            _take_compiler_on_demand()
        yield
    finally:
        gc.freeze()
        gc.enable()


def _free_kernels() -> None:
    """Let all be freed at the end where triton was imported: from 3.9 on it prints a list of what is left."""
    if _KERNELS in sys.modules:
        gc.unfreeze()


def _take_torchmetrics_on_demand() -> bool:
    """Import the two classes that Lightning needs; the rest follows when something asks for any of it.

    Returns:
        Whether it worked. If not, Lightning imports the whole of torchmetrics, which needs the compiler.
    """
    spec = find_spec("torchmetrics")
    if spec is None or spec.loader is None:  # a message says so where it is imported
        return False
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
        _forget(set())
        return False

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
    return True


class _Recognizer(type):
    """Type of the stand-in for a class: before the module of the class is imported, nothing is an instance of it."""

    def __instancecheck__(cls, instance: object) -> bool:
        """Check with the class itself, once something has imported it."""
        known = getattr(sys.modules.get(cls.__module__), cls.__name__, cls)
        return known is not cls and isinstance(instance, known)


def _take_compiler_on_demand() -> None:
    """Import Lightning with stand-ins for torch's compiler and triton; whatever compiles imports the two themselves."""
    if _COMPILER in sys.modules or _KERNELS in sys.modules or find_spec("lightning") is None:
        return
    before = set(sys.modules)
    for module, name in ((_COMPILER, "OptimizedModule"), (_KERNELS, "JITFunction")):
        sys.modules[module] = ModuleType(module)
        setattr(sys.modules[module], name, _Recognizer(name, (), {"__module__": module}))
    vars(sys.modules[_COMPILER])["disable"] = _not_compiled
    try:
        import lightning.pytorch  # noqa: F401  # here, so that it meets the stand-in
    except (ImportError, AttributeError, TypeError):  # a release that asks for more of it: import it as ever
        _forget(before)
    finally:
        del sys.modules[_COMPILER], sys.modules[_KERNELS]


def _not_compiled(function: Callable[..., Any], recursive: bool = True, **settings: Any) -> Callable[..., Any]:  # noqa: ANN401, FBT001, FBT002  # as torch has it
    """Keep a function from being compiled once there is a compiler."""

    @wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # those of the function
        if _COMPILER not in sys.modules:
            return function(*args, **kwargs)
        return sys.modules[_COMPILER].disable(function, recursive, **settings)(*args, **kwargs)

    return called


def _forget(before: Container[str]) -> None:
    """Undo the imports of torchmetrics and Lightning, but for the modules that were there before."""
    for name in [name for name in sys.modules if name.partition(".")[0] in _PACKAGES and name not in before]:
        del sys.modules[name]
