"""Client of remote catalogs, which LanceDB imports with everything else: half of its import, and no archive uses it."""

import sys
from importlib.util import find_spec, module_from_spec

_CLIENT = "lance_namespace_urllib3_client"


def put_off() -> None:
    """Let the client be imported when it is first used; to be called before LanceDB is imported.

    What LanceDB itself imports of it are models, which stand in a module of their own.
    """
    spec = None if _CLIENT in sys.modules else find_spec(_CLIENT)
    if spec is None or spec.loader is None:  # it is there already, or this LanceDB has none
        return
    module, loader = module_from_spec(spec), spec.loader

    def load(name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        del vars(module)["__getattr__"]
        loader.exec_module(module)
        return getattr(module, name)

    vars(module)["__getattr__"] = load
    sys.modules[_CLIENT] = module
