"""Image files that a manifest names, also where another system spells their paths in another way."""

import unicodedata
from collections.abc import Callable
from pathlib import Path, PurePath

from mcmfh_lightning.datasets.table.values import BadValueError, read_word, shortened


class ImageFolder:
    """Folder below which all images of a manifest are.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._listings: dict[Path, dict[str, list[str]]] = {}

    def read(self, value: object, note: Callable[[str], None]) -> Path | None:
        """Find the file that a path names.

        A path is taken unchanged first, then with ``/`` for backslashes (Windows), then in another form of Unicode
        (macOS) or with another case of the ending. The case of other letters is never changed: ``A1`` and ``a1`` may be
        films of two patients.

        Args:
            value: Path relative to the folder, or absolute.
            note: Takes what had to be assumed, for the summary.

        Raises:
            BadValueError: If there is no such file, it is outside the folder, or it is not a file.
        """
        name = read_word(value)
        if name is None:
            return None
        try:
            return self._find(name, note)
        except (OSError, RuntimeError) as error:  # a name too long, a folder that may not be read, a circle of links
            raise _missing(shortened(name)) from error

    def _find(self, name: str, note: Callable[[str], None]) -> Path:
        path, spelled = self._below(name, name), name
        if not path.exists() and "\\" in name:
            spelled = name.replace("\\", "/")
            path = self._below(spelled, name)
        if not path.exists():
            path = self._respelled(name, spelled)
            note("an image file found under another spelling (form of Unicode, case of the ending)")
        elif spelled != name:
            note("a path with backslashes, read with / in their place")
        if not path.is_file():  # reading a pipe or a device may never end
            raise BadValueError("image is not a file", "name a file, not a folder or a device", shortened(name))
        return path

    def _below(self, spelled: str, name: str) -> Path:
        """Resolve a path. Its folder is checked first: a manifest learns nothing of what else is on the machine."""
        path = (self._root / spelled).resolve()
        if not path.is_relative_to(self._root):
            fix = "copy it below --images, or pass a folder above as --images"
            raise BadValueError("image outside --images", fix, shortened(name))
        return path

    def _respelled(self, name: str, spelled: str) -> Path:
        wanted = self._below(spelled, name).relative_to(self._root).parts
        found = self._walk(wanted, _same_file)
        if found is not None:
            return found
        detail = shortened(name)
        if spelled != name:
            detail += f", and with / in place of the backslashes {spelled!r} is missing too"
        if near := self._walk(wanted, _same_letters):
            detail += f"; there is {str(near.relative_to(self._root))!r}"
        raise _missing(detail)

    def _walk(self, parts: tuple[str, ...], key: Callable[[str], str]) -> Path | None:
        """Follow a path through names that are equal under a key; None if one has no or several such names."""
        path = self._root
        for part in parts:
            same = [part]
            if not (path / part).exists():
                same = [name for name in self._names(path).get(_same_letters(part), []) if key(name) == key(part)]
            if len(same) != 1:
                return None
            path = (path / same[0]).resolve()
            if not path.is_relative_to(self._root):  # by a link
                return None
        return path

    def _names(self, folder: Path) -> dict[str, list[str]]:
        """Return the names in a folder by their letters; the folder is listed once."""
        if folder not in self._listings:
            listing: dict[str, list[str]] = {}
            for path in folder.iterdir() if folder.is_dir() else ():
                listing.setdefault(_same_letters(path.name), []).append(path.name)
            self._listings[folder] = listing
        return self._listings[folder]


def _missing(detail: str) -> BadValueError:
    fix = "paths are relative to --images: correct it, or leave it empty to keep the text"
    return BadValueError("missing image file", fix, detail)


def _same_file(name: str) -> str:
    path = PurePath(unicodedata.normalize("NFC", name))
    return path.stem + path.suffix.lower()


def _same_letters(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
