"""One pair, and the tar record that holds it."""

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards.members import check_image_header, check_text, decode_json, decode_text, encode_json
from mcmfh_lightning.shards.tar import record_key

ImageFormat = Literal["jpg", "png"]
IMAGE_FORMATS: tuple[ImageFormat, ...] = get_args(ImageFormat)

MAX_ID_LENGTH = 200
"""Characters of an id, and of the name of a group."""

DESCRIPTION = "json"
"""Extension of the member that describes the pair."""

_DESCRIBED = ("id", "labels", "group", "date", "source", "licence", "group_name")
"""Entries of the description, besides the checksums of the members."""
_SIGNATURES: Mapping[str, bytes] = {"jpg": b"\xff\xd8\xff", "png": b"\x89PNG\r\n\x1a\n"}
_INT64 = np.iinfo(np.int64)


@dataclass(frozen=True)
class Pair:
    """One image, one text and what is known of them; either modality may be missing, not both.

    Attributes:
        id: The collection's own name of the pair, unique in its folder: 1 to 200 printable characters.
        image: The picture's file as it is, not decoded, or None.
        image_format: ``jpg`` or ``png``, None without an image.
        text: The text, or None.
        labels: Labels of the folder's vocabulary; may be empty.
        group: Study, article or patient: pairs of one group never count in each other's rankings.
        date: ISO date, or None if unknown.
        source: Where this pair comes from.
        licence: Its license.
        group_name: The collection's own name of the group: 1 to 200 printable characters. A name has one number, and a
            number one name. By default the number in digits.
    """

    id: str
    image: bytes | None
    image_format: ImageFormat | None
    text: str | None
    labels: tuple[str, ...]
    group: int
    date: str | None
    source: str
    licence: str
    group_name: str = ""

    def __post_init__(self) -> None:
        if not self.group_name:
            object.__setattr__(self, "group_name", str(self.group))


def is_name(value: object) -> bool:
    """Return whether a value may be an id, or the name of a group."""
    return isinstance(value, str) and 1 <= len(value) <= MAX_ID_LENGTH and value.isprintable()


def encode_description(pair: Pair, checksums: Mapping[str, int], place: int) -> bytes:
    """Make the ``.json`` member of a record.

    Args:
        pair: What is described; its image and text are left out.
        checksums: CRC-32 of each other member of the record, by extension: the members that there must be.
        place: `place_checksum` of the record, from which the checksum of the description itself starts.

    Raises:
        DataError: If an entry is not of its type or out of its range.
    """
    entries = {name: getattr(pair, name) for name in _DESCRIBED}
    _check_entries(entries)
    own = zlib.crc32(encode_json({**entries, "crc32": checksums}), place)
    return encode_json({**entries, "crc32": {**checksums, DESCRIPTION: own}})


def decode_description(
    data: bytes, key: str, extensions: Mapping[str, object], place: int
) -> tuple[Pair, dict[str, int]]:
    """Read the ``.json`` member of a record; the inverse of `encode_description`.

    Args:
        data: The member.
        key: Key of the record.
        extensions: Any mapping whose keys are the extensions of the record.
        place: `place_checksum` of the record.

    Returns:
        The pair without its image and text, and the CRC-32 of each other member by extension.

    Raises:
        DataError: If the member is not such a description, is damaged, or belongs to another place or record.
    """
    content = decode_json(data)
    # In version 2 of the format groups have no names.
    if not isinstance(content, dict) or content.keys() | {"group_name"} != {*_DESCRIBED, "crc32"}:
        raise DataError(f"its .json must have the entries {', '.join(sorted((*_DESCRIBED, 'crc32')))} and no others")
    checksums, labels = content["crc32"], content["labels"]
    if not isinstance(checksums, dict) or not isinstance(labels, list):
        raise DataError("its labels are not a list, or its checksums are not given by extension")
    checksum = checksums.pop(DESCRIPTION, None)
    entries = {"group_name": str(content["group"]), **content, "labels": tuple(labels)}
    del entries["crc32"]
    _check_entries(entries)
    try:
        found = zlib.crc32(encode_json(content), place)
    except ValueError as error:
        # Half a character or NaN can be read and not written.
        raise DataError(f"its .json is damaged ({error})") from error
    if found != checksum:
        raise DataError("its .json is damaged, or was moved from another place (CRC-32)")
    if key != record_key(entries["id"]):
        raise DataError(f"the description is that of {entries['id']!r}")
    due = {*checksums, DESCRIPTION}
    if due != extensions.keys():
        raise DataError(f"the description lists {_listing(due)}, the record has {_listing(extensions)}")
    return Pair(image=None, image_format=None, text=None, **entries), checksums


def check_member(extension: str, content: bytes, checksums: Mapping[str, int]) -> None:
    """Compare a member with its checksum.

    Raises:
        DataError: If they differ.
    """
    if zlib.crc32(content) != checksums[extension]:
        raise DataError(f"its .{extension} is damaged (CRC-32)")


def pair_to_members(pair: Pair, place: int) -> dict[str, bytes]:
    """Turn a pair into the members of its record, by extension.

    Args:
        pair: The pair.
        place: `place_checksum` of the record.

    Raises:
        DataError: If it has neither image nor text, the image is not of its format or of suspicious size, the text is
            too long, or an entry is not of its type or out of its range.
    """
    members: dict[str, bytes] = {}
    try:
        if pair.image is not None:
            members[_checked_format(pair.image, pair.image_format)] = pair.image
        if pair.text is not None:
            check_text(pair.text)
            members["txt"] = pair.text.encode()
        checksums = {extension: zlib.crc32(content) for extension, content in members.items()}
        members[DESCRIPTION] = encode_description(pair, checksums, place)
        check_pair_members(members)
    except DataError as error:
        raise DataError(f"pair {pair.id}: {error}") from error
    except UnicodeEncodeError as error:
        raise DataError(f"pair {pair.id}: half a character cannot be stored ({error}); correct its text") from error
    return members


def pair_from_members(key: str, members: Mapping[str, bytes], place: int) -> Pair:
    """Make a pair of the members of its record; the inverse of `pair_to_members`.

    Args:
        key: Key of the record.
        members: Contents by extension.
        place: `place_checksum` of the record.

    Raises:
        DataError: If the record is not that of a pair, or is damaged.
    """
    image_format = check_pair_members(members)
    pair, checksums = decode_description(members[DESCRIPTION], key, members, place)
    for extension in checksums:
        check_member(extension, members[extension], checksums)
    image = None if image_format is None else members[image_format]
    text = decode_text(members["txt"]) if "txt" in members else None
    return replace(pair, image=image, image_format=image_format, text=text)


def check_pair_members(extensions: Mapping[str, object]) -> ImageFormat | None:
    """Check that a record has a picture or a text or both, a description, and nothing else.

    Args:
        extensions: Any mapping whose keys are the extensions of the record.

    Returns:
        The extension of the picture, None without one.

    Raises:
        DataError: If it has other members.
    """
    pictures = [image_format for image_format in IMAGE_FORMATS if image_format in extensions]
    content = extensions.keys() - {DESCRIPTION}
    if len(pictures) > 1 or not content or content - {*pictures, "txt"} or DESCRIPTION not in extensions:
        raise DataError(f"a pair is .jpg or .png, .txt, or both, and .json; this record has {_listing(extensions)}")
    return pictures[0] if pictures else None


def _check_entries(entries: Mapping[str, Any]) -> None:
    """Check the entries of a description, which may be of any type in a file of another program."""
    if not is_name(entries["id"]):
        raise DataError(f"its id is not a string of 1 to {MAX_ID_LENGTH} printable characters; rename the item")
    if not is_name(entries["group_name"]):
        raise DataError(
            f"the name of its group is not a string of 1 to {MAX_ID_LENGTH} printable characters; rename the group"
        )
    if not all(isinstance(label, str) for label in entries["labels"]):
        raise DataError("its labels are not strings")
    if type(entries["group"]) is not int or not _INT64.min <= entries["group"] <= _INT64.max:
        raise DataError(f"group {entries['group']!r} is not an integer of 64 bits; number the groups")
    if not isinstance(entries["date"], str | None):
        raise DataError("its date is neither a string nor null")
    if not isinstance(entries["source"], str) or not isinstance(entries["licence"], str):
        raise DataError("its source or licence is not a string")


def _checked_format(image: bytes, image_format: ImageFormat | None) -> ImageFormat:
    if image_format not in IMAGE_FORMATS:
        raise DataError(f"image format {image_format!r}; convert the picture to jpg or png")
    if not image.startswith(_SIGNATURES[image_format]):
        raise DataError(f"the picture is not a {image_format} file; rename it or convert it")
    check_image_header(image)
    return image_format


def _listing(extensions: Iterable[str]) -> str:
    return ", ".join(f".{extension}" for extension in sorted(extensions))
