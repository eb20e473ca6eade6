"""Results are comparable only if they were made with the same data."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.sweeps.result import Data, Result


def check_agreement(results: Sequence[Result], folders: Mapping[str, Data]) -> None:
    """Refuse results whose data share name and encoder, but not labels or sizes.

    Args:
        results: Results.
        folders: What lies in data folders, by folder.

    Raises:
        DataError: Data differ; the message names both and the entry.
    """
    seen: dict[str, tuple[str, Data]] = {}
    sources = [*folders.items(), *((result.file_name, result.data) for result in results)]
    for source, data in sources:
        first, expected = seen.setdefault(data.key, (source, data))
        for (entry, value), other in zip(asdict(data).items(), asdict(expected).values(), strict=True):
            if value != other:
                raise DataError(
                    f"{source}: its data {data.name!r} have {entry} {value!r}, those of {first} {other!r}: not "
                    "comparable; give other data another name, or remove the results that are out of date"
                )


def data_of_folders(roots: Collection[str], results: Sequence[Result], folders: Mapping[str, Data]) -> dict[str, Data]:
    """What lies, or lay, in data folders.

    Args:
        roots: The folders of interest.
        results: What results say of them.
        folders: What was seen in them.

    Returns:
        By folder; those that nothing is known of are left out.

    Raises:
        DataError: A folder held different data.
    """
    found = {root: ("there", data) for root, data in folders.items() if root in roots}
    for result in results:
        if result.root in roots:
            source, data = found.setdefault(result.root, (f"in {result.file_name}", result.data))
            if result.data.key != data.key:
                raise DataError(
                    f"{result.file_name}: was made with {result.root} when it held {_described(result.data)}; {source} "
                    f"it is {_described(data)}: keep other data in another folder, or remove the results out of date"
                )
    return {root: data for root, (_, data) in found.items()}


def _described(data: Data) -> str:
    return f"{data.name!r} of encoder {data.encoder!r} ({data.encoder_digest})"
