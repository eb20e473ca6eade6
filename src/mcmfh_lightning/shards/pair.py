"""One pair, and the tar record that holds it."""

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import numpy as np

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards.members import check_image_header, check_text, decode_json, decode_text, encode_json
from mcmfh_lightning.shards.packing import name_of_number
from mcmfh_lightning.shards.tar import record_key

ImageFormat = Literal["jpg", "png"]
IMAGE_FORMATS: tuple[ImageFormat, ...] = get_args(ImageFormat)

MAX_ID_LENGTH = 200
"""Characters of an id, and of the name of a group."""

DESCRIPTION = "json"
"""Extension of the member that describes the pair."""

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
        licence: Its licence.
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
            object.__setattr__(self, "group_name", name_of_number(self.group))


@dataclass(frozen=True)
class Description:
    """What the ``.json`` member of a record says of its pair.

    Attributes:
        id: As in `Pair`, and so are those that follow.
        labels: See above.
        group: See above.
        date: See above.
        source: See above.
        licence: See above.
        group_name: See above.
        crc32: CRC-32 of each other member of the record, by extension: those are the members that there must be.

    Raises:
        DataError: If an entry is not of its type or out of its range.
    """

    id: str
    labels: tuple[str, ...]
    group: int
    date: str | None
    source: str
    licence: str
    group_name: str
    crc32: Mapping[str, int]

    def __post_init__(self) -> None:
        # Entries come from a file as well, where they may be of any type.
        if not is_name(self.id):
            raise DataError(f"its id is not a string of 1 to {MAX_ID_LENGTH} printable characters; rename the item")
        if not is_name(self.group_name):
            raise DataError(
                f"the name of its group is not a string of 1 to {MAX_ID_LENGTH} printable characters; rename the group"
            )
        if not all(isinstance(label, str) for label in self.labels):
            raise DataError("its labels are not strings")
        if type(self.group) is not int or not _INT64.min <= self.group <= _INT64.max:
            raise DataError(f"group {self.group!r} is not an integer of 64 bits; number the groups")
        if not isinstance(self.date, str | None):
            raise DataError("its date is neither a string nor null")
        if not isinstance(self.source, str) or not isinstance(self.licence, str):
            raise DataError("its source or licence is not a string")

    def encode(self, place: int) -> bytes:
        """Make the member: JSON with its own checksum, which starts from the place of the record."""
        content = self._content()
        return encode_json({**content, "crc32": {**self.crc32, DESCRIPTION: zlib.crc32(encode_json(content), place)}})

    @classmethod
    def decode(cls, data: bytes, place: int) -> Self:
        """Undo `encode`.

        Raises:
            DataError: If the member is not such a description, or is damaged, or belongs to another place.
        """
        content = decode_json(data)
        # In version 2 of the format groups have no names.
        if not isinstance(content, dict) or content.keys() | {"group_name"} != _ENTRIES:
            raise DataError(f"its .json must have the entries {', '.join(sorted(_ENTRIES))} and no others")
        checksums, labels = content["crc32"], content["labels"]
        if not isinstance(checksums, dict) or not isinstance(labels, list):
            raise DataError("its labels are not a list, or its checksums are not given by extension")
        checksum = checksums.pop(DESCRIPTION, None)
        name = {"group_name": name_of_number(content["group"])}
        description = cls(**{**name, **content, "labels": tuple(labels)})
        try:
            found = zlib.crc32(encode_json(content), place)
        except ValueError as error:
            # Half a character, or a number that is none, can be read and not written.
            raise DataError(f"its .json is damaged ({error})") from error
        if found != checksum:
            raise DataError("its .json is damaged, or was moved from another place (CRC-32)")
        return description

    def check_members(self, key: str, extensions: Mapping[str, object]) -> None:
        """Check that a record is that of the description.

        Args:
            key: Key of the record.
            extensions: Anything keyed by the extensions of the record.

        Raises:
            DataError: If it is not.
        """
        if key != record_key(self.id):
            raise DataError(f"the description is that of {self.id!r}")
        due = {*self.crc32, DESCRIPTION}
        if due != extensions.keys():
            raise DataError(f"the description tells of {_listing(due)}, the record has {_listing(extensions)}")

    def check_member(self, extension: str, content: bytes) -> None:
        """Check a member of the record against its checksum.

        Args:
            extension: Which of the members that there must be.
            content: What was read.

        Raises:
            DataError: If they differ.
        """
        if zlib.crc32(content) != self.crc32[extension]:
            raise DataError(f"its .{extension} is damaged (CRC-32)")

    def _content(self) -> dict[str, Any]:
        return {**self.__dict__, "labels": list(self.labels)}


_ENTRIES = frozenset(Description.__dataclass_fields__)


def is_name(value: object) -> bool:
    """Return whether a value may be an id, or the name of a group."""
    return isinstance(value, str) and 1 <= len(value) <= MAX_ID_LENGTH and value.isprintable()


def pair_to_members(pair: Pair, place: int) -> dict[str, bytes]:
    """Turn a pair into the members of its record, by extension.

    Args:
        pair: The pair.
        place: `place_checksum` of the record.

    Raises:
        DataError: If it has neither image nor text, the image is not of the format it is said to be or of suspicious
            size, the text is too long, or an entry is not of its type or out of its range.
    """
    members: dict[str, bytes] = {}
    try:
        if pair.image is not None:
            members[_checked_format(pair.image, pair.image_format)] = pair.image
        if pair.text is not None:
            check_text(pair.text)
            members["txt"] = pair.text.encode()
        checksums = {extension: zlib.crc32(content) for extension, content in members.items()}
        description = Description(
            id=pair.id,
            labels=pair.labels,
            group=pair.group,
            date=pair.date,
            source=pair.source,
            licence=pair.licence,
            group_name=pair.group_name,
            crc32=checksums,
        )
        members[DESCRIPTION] = description.encode(place)
        check_pair_members(members)
    except DataError as error:
        raise DataError(f"pair {pair.id}: {error}") from error
    except UnicodeEncodeError as error:
        raise DataError(f"pair {pair.id}: half a character cannot be stored ({error}); mend its text") from error
    return members


def pair_from_members(key: str, members: Mapping[str, bytes], place: int) -> Pair:
    """Undo `pair_to_members`.

    Args:
        key: Key of the record.
        members: Contents by extension.
        place: `place_checksum` of the record.

    Raises:
        DataError: If the record is not that of a pair, or is damaged.
    """
    image_format = check_pair_members(members)
    description = Description.decode(members[DESCRIPTION], place)
    description.check_members(key, members)
    for extension in description.crc32:
        description.check_member(extension, members[extension])
    return Pair(
        id=description.id,
        image=None if image_format is None else members[image_format],
        image_format=image_format,
        text=decode_text(members["txt"]) if "txt" in members else None,
        labels=description.labels,
        group=description.group,
        date=description.date,
        source=description.source,
        licence=description.licence,
        group_name=description.group_name,
    )


def check_pair_members(extensions: Mapping[str, object]) -> ImageFormat | None:
    """Check that a record has a picture or a text or both, a description, and nothing else.

    Args:
        extensions: Anything keyed by the extensions of the record.

    Returns:
        The extension of the picture, None without one.

    Raises:
        DataError: If it has not.
    """
    pictures = [image_format for image_format in IMAGE_FORMATS if image_format in extensions]
    content = extensions.keys() - {DESCRIPTION}
    if len(pictures) > 1 or not content or content - {*pictures, "txt"} or DESCRIPTION not in extensions:
        raise DataError(f"a pair is .jpg or .png, .txt, or both, and .json; this record has {_listing(extensions)}")
    return pictures[0] if pictures else None


def _checked_format(image: bytes, image_format: ImageFormat | None) -> ImageFormat:
    if image_format not in IMAGE_FORMATS:
        raise DataError(f"image format {image_format!r}; convert the picture to jpg or png")
    if not image.startswith(_SIGNATURES[image_format]):
        raise DataError(f"the picture is not a {image_format} file; name or convert it rightly")
    check_image_header(image)
    return image_format


def _listing(extensions: Iterable[str]) -> str:
    return ", ".join(f".{extension}" for extension in sorted(extensions))
