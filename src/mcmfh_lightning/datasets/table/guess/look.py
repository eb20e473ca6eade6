"""Look at a table and its images, propose how to read them, and try the proposal."""

from collections import Counter
from pathlib import Path
from typing import Any

from mcmfh_lightning.datasets.table.guess.columns import Column, Proposal, Words
from mcmfh_lightning.datasets.table.guess.files import (
    Found,
    guess_encoding,
    guess_images,
    list_images,
    read_columns,
    say_unnamed,
)
from mcmfh_lightning.datasets.table.guess.groups import check_leak, guess_group, guess_split
from mcmfh_lightning.datasets.table.guess.labels import guess_labels
from mcmfh_lightning.datasets.table.guess.roles import guess_date, guess_id, guess_origin, name_persons, say_persons
from mcmfh_lightning.datasets.table.guess.texts import guess_text
from mcmfh_lightning.datasets.table.options import ManifestOptions
from mcmfh_lightning.datasets.table.problems import rows_of
from mcmfh_lightning.datasets.table.read import read_manifest
from mcmfh_lightning.datasets.table.values import is_missing
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.tables import counted


def propose(manifest: Path, images: Path) -> Proposal:
    """Look at a table and propose the options of ``mcmfh-data manifest``.

    Args:
        manifest: ``.csv``, ``.tsv``, ``.jsonl`` or ``.parquet``.
        images: Folder of its images.

    Raises:
        DataError: If the table cannot be read as a whole, or there is no such folder.
    """
    proposal = Proposal()
    files = list_images(images)
    encoding = guess_encoding(manifest, proposal)
    table, columns = read_columns(manifest, encoding, frozenset(files), proposal)
    proposal.rows = len(table.rows)
    if table.problems:
        proposal.odd.append(
            f"{counted(len(table.problems), 'row')} cannot be read, the first: {table.problems[0].line(manifest)}"
        )
    if table.blank:
        proposal.odd.append(f"{counted(table.blank, 'blank row')} passed over")
    persons = name_persons(columns)
    left = [column for column in columns if column.name not in persons]
    found = guess_images(left, images, files, proposal)
    if found is not None:
        say_unnamed(found, files, proposal)
    guess_id(left, None if found is None else found.column, proposal)
    given = guess_split(_without(left, proposal), proposal)
    guess_date(_without(left, proposal), proposal)
    left = _without(left, proposal)
    # A column of patients may be the id too, where each row stands alone.
    # So may one that looks like data of persons, such as a number of patients: groups need it.
    patients = [
        c
        for c in columns
        if c.name in persons and c.words & Words.PATIENT and not c.words & (Words.PERSON - Words.PATIENT)
    ]
    may_group = [column for column in columns if column in left or column in patients or column.name == "group"]
    check_leak(given, guess_group(may_group, proposal.rows, proposal), proposal)
    guess_labels(_without(left, proposal), proposal)
    guess_text(_without(left, proposal), proposal)
    guess_origin(_without(left, proposal), proposal)
    say_persons(persons, proposal)
    proposal.unread = [column.name for column in columns if column.name not in proposal.used]
    _count_modalities(columns, found, proposal)
    proposal.sort()
    if not proposal.choices:
        _try_options(manifest, Path(str(proposal.options.get("images", images))), proposal)
    return proposal


def _without(columns: list[Column], proposal: Proposal) -> list[Column]:
    used = proposal.used
    return [column for column in columns if column.name not in used]


def _count_modalities(columns: list[Column], found: Found | None, proposal: Proposal) -> None:
    """Count rows that have an image and a text, one of them, or neither."""
    name = proposal.options.get("text-column")
    text = next((column for column in columns if column.name == name), None)
    images = [True] * proposal.rows if found is None else [path is not None for path in found.files]
    texts = [True] * proposal.rows if text is None else [not is_missing(cell) for cell in text.cells]
    both = sum(image and has for image, has in zip(images, texts, strict=True))
    neither = sum(not image and not has for image, has in zip(images, texts, strict=True))
    proposal.trainable = both
    if single := proposal.rows - both - neither:
        proposal.odd.append(
            f"{counted(single, 'row')} with an image or a text, not both: to be found, never to train on"
        )
    if neither:
        proposal.odd.append(f"{counted(neither, 'row')} with neither image nor text, of no use")


_MOST_HINTS = 3


def _try_options(manifest: Path, images: Path, proposal: Proposal) -> None:
    """Read a table by the proposed options, and say what the converter would refuse or remark."""
    options: dict[str, Any] = {name.replace("-", "_"): value for name, value in proposal.options.items()}
    options.pop("images", None)
    try:
        read = read_manifest(manifest, images, ManifestOptions(**options).reading(""))
    except DataError as error:
        proposal.odd.insert(0, f"it cannot be converted so: {str(error).removeprefix(f'{manifest}, ')}")
        return
    proposal.odd += [hint.removeprefix(f"{manifest}: ") for hint in read.hints[:_MOST_HINTS]]
    if bad := rows_of(read.problems):
        reasons = Counter(problem.reason for problem in read.problems)
        counts = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common(4))
        rows = f"bad rows: {len(bad):,} of {len(bad) + len(read.candidates):,} ({counts}), the first is row {min(bad)}"
        proposal.odd.insert(0, f"{rows}; correct them, or pass --skip-bad-rows")
