"""Damage small shard folders in many ways and read them: prints one JSON line a damage. Run by test_fuzz.py.

A process of its own, so that a crash or a seed that takes longer than `SECONDS_PER_SEED` ends in a bad exit status.
"""

import argparse
import faulthandler
import io
import json
import random
import re
import tarfile
from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.files import sha256_of
from mcmfh_lightning.shards import (
    DatasetInfo,
    FeatureShardReader,
    FeatureShardWriter,
    Pair,
    PairShardReader,
    PairShardWriter,
    decode_image,
    feature_blocks,
    merge_feature_parts,
    pair,
)
from mcmfh_lightning.shards import packing as checksums

SECONDS_PER_SEED = 20
BLOCK = tarfile.BLOCKSIZE
VOCABULARY = tuple(f"label{i}" for i in range(11))
SPLITS = {"train": 11, "val": 5}
COMMON: dict[str, Any] = {
    "name": "tiny",
    "source": "here",
    "licence": "CC0-1.0",
    "settings": {},
    "label_vocabulary": VOCABULARY,
    "normal_label": None,
}

Sample = tuple[Any, ...]


class WrongError(Exception):
    """What must not happen: a sample that was never written, or an error that does not say where."""


def _picture(rng: np.random.Generator, file_format: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (8, 8), dtype=np.uint8)).save(stream, format=file_format)
    return stream.getvalue()


def write_pairs(folder: Path) -> None:
    """Whole pairs and items of one modality, in three shards and two."""
    rng = np.random.default_rng(0)
    with PairShardWriter(folder, **COMMON, pairs_per_shard=4) as writer:
        for split, size in SPLITS.items():
            for n in range(size):
                kind = "jpg" if n % 2 else "png"
                image = None if n % 5 == 1 else _picture(rng, "JPEG" if n % 2 else "PNG")
                text = None if n % 5 == 2 else f"Finding {n} of {split}, naïve."
                labels = (VOCABULARY[n % 11], VOCABULARY[(n + 3) % 11])
                item = f"{split}/{n}" if n % 3 else f"{split}-{n}"
                writer.write(
                    split, Pair(item, image, kind if image else None, text, labels, n // 2, None, "here", "CC0")
                )


def write_features(folder: Path) -> None:
    """Blocks of three rows by two ranks: a shard each a split, the last block not full."""
    rng = np.random.default_rng(0)
    ids: dict[str, list[str]] = {split: [f"{split}/{n}" for n in range(size)] for split, size in SPLITS.items()}
    for rank in range(2):
        writer = FeatureShardWriter(folder, rank=rank, block_pairs=3)
        for split, size in SPLITS.items():
            mine = ids[split][size * rank // 2 : size * (rank + 1) // 2]
            rows = len(mine)
            present = np.arange(rows)[:, None] % 5 != [1, 2]
            writer.write(
                split,
                mine,
                rng.standard_normal((rows, 16)),
                rng.standard_normal((rows, 8)),
                np.packbits(rng.random((rows, 11)) < 0.3, axis=1),
                rng.integers(0, 9, rows),
                rng.integers(0, 2**60, rows),
                present,
            )
        writer.close()
    info = DatasetInfo(**COMMON, format="mcmfh-features", splits={}, encoder={"name": "x"}, image_dim=16, text_dim=8)
    merge_feature_parts(folder, info, 2, expected_ids=ids)


def read_pairs(folder: Path, split: str) -> tuple[list[str], list[Sample]]:
    """Every pair as the datamodules read it, with its columns."""
    reader = PairShardReader(folder, split)
    samples = []
    for row, name in enumerate(reader.ids):
        item = reader[row]
        if item.id != name:
            raise WrongError(f"row {row} is {item.id}, its id {name}")
        pixels = None if item.image is None else decode_image(item.image).tobytes()
        columns = (
            int(reader.groups[row]),
            reader.group_names[row],
            reader.labels[row].tolist(),
            reader.present[row].tolist(),
        )
        samples.append((item, pixels, *columns))
    return reader.ids, samples


def read_features(folder: Path, split: str) -> tuple[list[str], list[Sample]]:
    """Every row in two shuffled batches, with its columns."""
    reader = FeatureShardReader(folder, split)
    order = np.random.default_rng(1).permutation(len(reader))
    samples: list[Sample] = [()] * len(reader)
    for batch in np.array_split(order, 2):
        rows = reader.gather(batch)
        names = ("image", "text", "present", "labels", "group", "text_hash")
        for place, row in enumerate(batch):
            if rows["index"][place] != row:
                raise WrongError(f"row {row} says that it is {rows['index'][place]}")
            samples[row] = tuple(rows[name][place].tolist() for name in names)
    for row, sample in enumerate(samples):
        columns = (reader.present[row], reader.labels[row], reader.groups[row], reader.text_hashes[row])
        if sample[2:] != tuple(column.tolist() for column in columns):
            raise WrongError(f"row {row} differs from its columns")
        samples[row] = (*sample, reader.group_names[row])
    return reader.ids, samples


def cut(data: bytes) -> tuple[list[bytes], bytes]:
    """Cut a tar into its members, each with its header, and the end."""
    members, at = [], 0
    while any(data[at : at + BLOCK]):
        size = tarfile.TarInfo.frombuf(data[at : at + BLOCK], "ascii", "strict").size
        end = at + BLOCK + -(-size // BLOCK) * BLOCK
        members.append(data[at:end])
        at = end
    return members, data[at:]


def flip(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 8, 64])):
        changed[rng.randrange(len(changed))] ^= rng.choice([1 << rng.randrange(8), rng.randrange(1, 256)])
    return bytes(changed)


def flip_in_content(rng: random.Random, data: bytes) -> bytes:
    """Flip a bit of what a member holds: the tar itself stays whole."""
    members, end = cut(data)
    at = rng.randrange(len(members))
    size = tarfile.TarInfo.frombuf(members[at][:BLOCK], "ascii", "strict").size
    changed = bytearray(members[at])
    changed[BLOCK + rng.randrange(size)] ^= 1 << rng.randrange(8)
    members[at] = bytes(changed)
    return b"".join(members) + end


def truncate(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.choice([rng.randrange(len(data)), rng.randrange(len(data) // BLOCK) * BLOCK])]


def swap_contents(rng: random.Random, data: bytes) -> bytes:
    """Exchange what two members hold, headers as they were where the sizes allow it."""
    members, end = cut(data)
    one = rng.randrange(len(members))
    same = [i for i, member in enumerate(members) if len(member) == len(members[one])]
    other = rng.choice(same)
    first, second = members[one], members[other]
    members[one], members[other] = first[:BLOCK] + second[BLOCK:], second[:BLOCK] + first[BLOCK:]
    return b"".join(members) + end


def swap_members(rng: random.Random, data: bytes) -> bytes:
    members, end = cut(data)
    one, other = rng.randrange(len(members)), rng.randrange(len(members))
    members[one], members[other] = members[other], members[one]
    return b"".join(members) + end


def duplicate_member(rng: random.Random, data: bytes) -> bytes:
    members, end = cut(data)
    members.insert(rng.randrange(len(members)), rng.choice(members))
    return b"".join(members) + end


def remove_member(rng: random.Random, data: bytes) -> bytes:
    members, end = cut(data)
    del members[rng.randrange(len(members))]
    return b"".join(members) + end


def _records(members: list[bytes]) -> list[list[bytes]]:
    records: dict[bytes, list[bytes]] = {}
    for member in members:
        records.setdefault(member.partition(b".")[0], []).append(member)
    return list(records.values())


def swap_records(rng: random.Random, data: bytes) -> bytes:
    """Exchange two whole records: each is good, in the wrong place."""
    members, end = cut(data)
    records = _records(members)
    one, other = rng.randrange(len(records)), rng.randrange(len(records))
    records[one], records[other] = records[other], records[one]
    return b"".join(member for record in records for member in record) + end


def swap_records_under_their_names(rng: random.Random, data: bytes) -> bytes:
    """Exchange all that two records hold and leave the names."""
    members, end = cut(data)
    records = _records(members)
    one, other = rng.randrange(len(records)), rng.randrange(len(records))
    if [len(member) for member in records[one]] == [len(member) for member in records[other]]:
        first, second = records[one], records[other]
        records[one] = [a[:BLOCK] + b[BLOCK:] for a, b in zip(first, second, strict=True)]
        records[other] = [b[:BLOCK] + a[BLOCK:] for a, b in zip(first, second, strict=True)]
    return b"".join(member for record in records for member in record) + end


def remove_record(rng: random.Random, data: bytes) -> bytes:
    members, end = cut(data)
    records = _records(members)
    del records[rng.randrange(len(records))]
    return b"".join(member for record in records for member in record) + end


def rewrite_header(rng: random.Random, data: bytes) -> bytes:
    """Change a header and correct its checksum, as a person does on purpose."""
    members, end = cut(data)
    at = rng.randrange(len(members))
    entry = tarfile.TarInfo.frombuf(members[at][:BLOCK], "ascii", "strict")
    match rng.randrange(4):
        case 0:
            sizes = [0, entry.size - 1, entry.size + 1, entry.size + BLOCK, 2**33, -BLOCK, -(2**40)]
            entry.size = rng.choice(sizes)
        case 1:
            another = rng.choice(members)[:99].partition(b"\0")[0].decode()
            entry.name = rng.choice(["../../etc/passwd", "/etc/passwd", "pipe:id", "a.pickle", "a.json", another])
        case 2:
            entry.type = rng.choice([tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
            entry.linkname = "/etc/passwd"
        case _:
            stem, _, extension = entry.name.partition(".")
            entry.name = f"{stem[::-1]}.{extension}"
    header = tarfile.TarInfo.tobuf(entry, tarfile.GNU_FORMAT)[:BLOCK]
    members[at] = header + members[at][BLOCK:]
    return b"".join(members) + end


def zero_block(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) // BLOCK) * BLOCK
    return data[:at] + bytes(BLOCK) + data[at + BLOCK :]


def insert_noise(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) // BLOCK) * BLOCK
    return data[:at] + rng.randbytes(rng.choice([1, BLOCK, 2 * BLOCK])) + data[at:]


DAMAGES: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    flip,
    flip_in_content,
    truncate,
    swap_contents,
    swap_members,
    duplicate_member,
    remove_member,
    swap_records,
    swap_records_under_their_names,
    remove_record,
    rewrite_header,
    zero_block,
    insert_noise,
)


def damage_shards(rng: random.Random, folder: Path) -> str:
    """Damage one shard, or exchange two; mostly ``dataset.json`` is made to fit. Returns what was done."""
    paths = sorted(folder.glob("*.tar"))
    path = rng.choice(paths)
    if rng.random() < 0.05:
        other = rng.choice(paths)
        first, second = path.read_bytes(), other.read_bytes()
        path.write_bytes(second)
        other.write_bytes(first)
        done = "swap_shards"
    else:
        damage = rng.choice(DAMAGES)
        path.write_bytes(damage(rng, path.read_bytes()))
        done = damage.__name__
    if rng.random() < 0.7:
        adjust(rng, folder)
    return done


def adjust(rng: random.Random, folder: Path) -> None:
    """Rewrite sizes and checksums in ``dataset.json``, and sometimes the number of pairs."""
    target = folder / "dataset.json"
    content = json.loads(target.read_text())
    for split in content["splits"].values():
        for shard in split["shards"]:
            path = folder / shard["name"]
            if path.stat().st_size != shard["bytes"] and rng.random() < 0.3:
                shard["pairs"] = max(1, shard["pairs"] + rng.choice([-3, -1, 1]))
            shard |= {"bytes": max(1, path.stat().st_size), "sha256": sha256_of(path)}
        split["pairs"] = sum(shard["pairs"] for shard in split["shards"])
    target.write_text(json.dumps(content))


def damage_dataset_file(rng: random.Random, folder: Path) -> str:
    """Damage ``dataset.json`` itself: bytes, or the value of one of its entries."""
    target = folder / "dataset.json"
    if rng.random() < 0.5:
        damage = rng.choice([flip, truncate])
        target.write_bytes(damage(rng, target.read_bytes()))
        return damage.__name__
    content = json.loads(target.read_text())
    place: Any = content
    while True:
        key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
        if not isinstance(place[key], dict | list) or not place[key] or rng.random() < 0.2:
            break
        place = place[key]
    place[key] = rng.choice([None, -1, 0, 10**30, 1.5, True, "", "../x", [], [1], {}, {"a": 1}, [[]]])
    target.write_text(json.dumps(content))
    return "an entry"


KINDS: Mapping[str, tuple[Callable[[Path], None], Callable[[Path, str], tuple[list[str], list[Sample]]]]] = {
    "pairs": (write_pairs, read_pairs),
    "features": (write_features, read_features),
}

# A shard as a whole has no key: it is too short, or holds too few pairs.
_WHERE = re.compile(
    r"(train|val)-\d{3}-\d{5}\.tar(, (pair|block|member) '?.+|.* after member '.+'|.*"
    r"( at its beginning | bytes, dataset\.json says | pairs, dataset\.json says ))"
)


def read(kind: str, folder: Path, truth: Mapping[str, dict[str, Sample]], *, names_a_shard: bool) -> str:
    """Read a folder, compare it with the truth, and return how it ended.

    Raises:
        WrongError: If a sample is not what was written under its id, or an error does not say where.
    """
    resized = {split: DatasetInfo.load(folder).split(split).pairs != size for split, size in SPLITS.items()}
    for split in SPLITS:
        try:
            ids, samples = KINDS[kind][1](folder, split)
        except DataError as error:
            if names_a_shard and not _WHERE.search(str(error)):
                raise WrongError(f"the error does not say where: {error}") from error
            return f"refused: {error}"
        if not resized[split] and ids != list(truth[split]):
            raise WrongError(f"{split}: pairs {ids} are there")
        for name, sample in zip(ids, samples, strict=True):
            if truth[split].get(name) != sample:
                raise WrongError(f"{split}: {name} is {sample}, written was {truth[split].get(name)}")
    return "read"


def run(kind: str, seeds: range, folder: Path, *, blind: bool) -> None:
    """Damage the shards with every seed, and ``dataset.json`` with every fifth."""
    folder.mkdir()
    KINDS[kind][0](folder)
    clean = {path: path.read_bytes() for path in folder.iterdir()}
    truth = {split: dict(zip(*KINDS[kind][1](folder, split), strict=True)) for split in SPLITS}
    for seed, shards in chain(((seed, True) for seed in seeds), ((seed, False) for seed in seeds[::5])):
        faulthandler.dump_traceback_later(SECONDS_PER_SEED, exit=True)
        for path, data in clean.items():
            path.write_bytes(data)
        rng = random.Random(seed)
        done = damage_shards(rng, folder) if shards else damage_dataset_file(rng, folder)
        try:
            end = read(kind, folder, truth, names_a_shard=shards)
        except DataError as error:
            end = f"refused: {error}"
        except Exception as error:
            end = f"wrong: {type(error).__name__}: {error}"
        what = {"kind": kind, "blind": blind, "seed": seed, "shards": shards, "damage": done, "end": end}
        print(json.dumps(what), flush=True)
        faulthandler.cancel_dump_traceback_later()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("first", type=int)
    parser.add_argument("end", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--blind", type=int, default=0, help="seeds that are read again when all checksums are 0: damage is not found"
    )
    options = parser.parse_args()
    faulthandler.enable()
    for kind in KINDS:
        run(kind, range(options.first, options.end), options.folder / kind, blind=False)
    for module in (checksums, feature_blocks, pair):
        module.zlib = SimpleNamespace(crc32=lambda *_: 0)
    for kind in KINDS:
        run(kind, range(options.blind), options.folder / f"{kind} blind", blind=True)


if __name__ == "__main__":
    main()
