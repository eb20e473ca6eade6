"""Look at a table and its images, and propose how to read them."""

from pathlib import Path

from mcmfh_lightning.datasets.table.guess.columns import Column
from mcmfh_lightning.datasets.table.guess.dates import guess_date
from mcmfh_lightning.datasets.table.guess.file import guess_encoding, read_columns
from mcmfh_lightning.datasets.table.guess.groups import check_leak, guess_group, guess_split
from mcmfh_lightning.datasets.table.guess.images import Found, guess_images, list_images, say_unnamed
from mcmfh_lightning.datasets.table.guess.labels import guess_labels
from mcmfh_lightning.datasets.table.guess.proposal import Proposal
from mcmfh_lightning.datasets.table.guess.roles import guess_id, guess_origin, guess_text, name_persons
from mcmfh_lightning.datasets.table.guess.trial import try_options
from mcmfh_lightning.datasets.table.guess.vocabulary import PATIENT, PERSON
from mcmfh_lightning.datasets.table.values import is_missing
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
    persons = name_persons(columns, proposal)
    left = [column for column in columns if column.name not in persons]
    found = guess_images(left, images, files, proposal)
    image = None if found is None else found.column
    if found is not None:
        say_unnamed(found, files, proposal)
    guess_id(left, image, proposal)
    left = _without(left, proposal)
    given = guess_split(left, proposal)
    left = _without(left, proposal)
    guess_date(left, proposal)
    left = _without(left, proposal)
    # A column of patients may be the id too, where each row stands alone.
    # So may one that looks like data of persons, such as a number of patients: groups need it.
    patients = [c for c in columns if c.name in persons and c.words & PATIENT and not c.words & (PERSON - PATIENT)]
    group = guess_group(
        [c for c in columns if c in left or c in patients or c.name == "group"], proposal.rows, proposal
    )
    check_leak(given, group, proposal)
    left = _without(left, proposal)
    guess_labels(left, proposal)
    left = _without(left, proposal)
    guess_text(left, proposal)
    guess_origin(_without(left, proposal), proposal)
    proposal.unread = [column.name for column in columns if column.name not in proposal.used]
    _count_modalities(columns, found, proposal)
    proposal.sort()
    if not proposal.choices:
        try_options(manifest, Path(str(proposal.options.get("images", images))), proposal)
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
