"""One pair, and the tar record that holds it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from mcmfh_lightning.datamodules.shards.members import decode_json, decode_text, encode_json
from mcmfh_lightning.errors import DataError

ImageFormat = Literal["jpg", "png"]

_SIGNATURES: Mapping[str, bytes] = {"jpg": b"\xff\xd8\xff", "png": b"\x89PNG\r\n\x1a\n"}

_DESCRIPTION = {"labels", "group", "date", "source", "licence"}
"""Entries of the ``.json`` member."""


@dataclass(frozen=True)
class Pair:
    """One image, one text and what is known of them.

    Attributes:
        id: Name of the pair, unique in its folder: ASCII letters, digits, ``_`` and ``-``.
        image: The picture's file as it is, not decoded.
        image_format: ``jpg`` or ``png``.
        text: The text.
        labels: Labels of the folder's vocabulary; may be empty.
        group: Study, article or patient: pairs of one group never count in each other's rankings.
        date: ISO date, or None if unknown.
        source: Where this pair comes from.
        licence: Its licence.
    """

    id: str
    image: bytes
    image_format: ImageFormat
    text: str
    labels: tuple[str, ...]
    group: int
    date: str | None
    source: str
    licence: str


def pair_to_members(pair: Pair) -> dict[str, bytes]:
    """Turn a pair into the members of its record, by extension.

    Raises:
        DataError: If the image is not of the format it is said to be, or the group does not fit into 64 bits.
    """
    if pair.image_format not in get_args(ImageFormat):
        raise DataError(f"pair {pair.id}: image format {pair.image_format!r}; convert the picture to jpg or png")
    if not pair.image.startswith(_SIGNATURES[pair.image_format]):
        raise DataError(f"pair {pair.id}: the picture is not a {pair.image_format} file; name or convert it rightly")
    if not -(2**63) <= pair.group < 2**63:
        raise DataError(f"pair {pair.id}: group {pair.group} does not fit into 64 bits; number the groups")
    description = {
        "labels": list(pair.labels),
        "group": pair.group,
        "date": pair.date,
        "source": pair.source,
        "licence": pair.licence,
    }
    return {pair.image_format: pair.image, "txt": pair.text.encode(), "json": encode_json(description)}


def pair_from_members(key: str, members: Mapping[str, bytes]) -> Pair:
    """Undo `pair_to_members`.

    Raises:
        DataError: If the record is not that of a pair.
    """
    image_format = check_pair_members(members)
    description = decode_json(members["json"])
    if not isinstance(description, dict) or description.keys() != _DESCRIPTION:
        raise DataError(f"its .json must have the entries {', '.join(sorted(_DESCRIPTION))} and no others")
    return Pair(
        id=key,
        image=members[image_format],
        image_format=image_format,
        text=decode_text(members["txt"]),
        labels=tuple(description.pop("labels")),
        **description,
    )


def check_pair_members(extensions: Mapping[str, object]) -> ImageFormat:
    """Check that a record has one picture, one text and one description and nothing else.

    Args:
        extensions: Anything keyed by the extensions of the record.

    Returns:
        The extension of the picture.

    Raises:
        DataError: If it has not.
    """
    for image_format in get_args(ImageFormat):
        if extensions.keys() == {image_format, "txt", "json"}:
            found: ImageFormat = image_format
            return found
    raise DataError(f"a pair is .jpg or .png, .txt and .json, this record has {', '.join(sorted(extensions))}")
