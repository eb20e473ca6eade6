"""Where a record belongs, as the number that its checksums start from."""

import zlib


def place_checksum(shard: str, number: int, key: str) -> int:
    """Return what the checksums of a record start from, so that good bytes in the wrong place are found too.

    Args:
        shard: File name of the shard, such as ``train-000-00000.tar``.
        number: Number of the record in its shard, from 0.
        key: Key of the record.

    Returns:
        A CRC-32, to be given to `zlib.crc32` as its second argument.
    """
    return zlib.crc32(f"{shard}/{number}/{key}".encode())
