"""Towers with 8-bit weights next to those in float32: bits that differ, P@20, time and size; see docs/guides/export.md.

    python benchmarks/export_int8.py --pairs DIR --checkpoint FILE [--checkpoint FILE] [--encoder FILE] [--csv FILE]

The encoder of the first checkpoint is exported, and its text tower quantized as `mcmfh export --int8` does it. Each
report of the split that has a film is embedded by both towers, alone and on one thread. Both take turns, so that other
work of the machine affects them alike. The reports are then the queries of each search by a text, among the pairs of
other groups, whose codes are those of the float32 towers.

P@20 is that of findings.py, in expectation over ties. Queries are the abnormal pairs, and an item is relevant if it
shares a label. Intervals are a bootstrap over groups; differences are paired.

`mcmfh export` leaves the image tower in float32. To show why, its convolutions are quantized here as well, for the
searches by the first 100 films. Times are medians in milliseconds, with what prepares the input; the table has their
ratio to those of the float32 tower, which other work of the machine affects less.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from findings_systems import NORMAL
from measurements import Row, markdown, options, report
from numpy.typing import NDArray
from onnxruntime.quantization import QuantType, quantize_dynamic
from retrieval_quality import K, mean_interval, quality
from rich.progress import track

from mcmfh_lightning.encoders.spec import read_encoder_spec
from mcmfh_lightning.export.quantization import quantize_text_tower
from mcmfh_lightning.export.write import export_model
from mcmfh_lightning.files import sha256_of
from mcmfh_lightning.lightning_configs import find_config
from mcmfh_lightning.portable import PortableHasher
from mcmfh_lightning.portable.description import IMAGE_TOWER, TEXT_TOWER
from mcmfh_lightning.searches import SEARCHES
from mcmfh_lightning.shards import PairShardReader, decode_image

Array = NDArray[np.float32]
Bits = NDArray[np.bool_]
PARTS = ("codes", "towers")
SYSTEMS = ("float32", "int8")
FILMS = 100
"""Films that the quantized image tower embeds: enough for a tower that is not exported."""


class Embedded(NamedTuple):
    """Embeddings of queries by one tower.

    Attributes:
        embeddings: (Q, dim), of the first Q pairs.
        milliseconds: (Q,).
    """

    embeddings: Array
    milliseconds: NDArray[np.float64]


class Judged(NamedTuple):
    """Which pairs may be found, and should be.

    Attributes:
        searched: (N, N): whether a pair, the column, is of another group than the query.
        relevant: (N, N): whether it shares a label as well.
        asked: (N,): whether a query is abnormal and can find something.
        groups: (N,).
    """

    searched: Bits
    relevant: Bits
    asked: Bits
    groups: NDArray[np.int64]


def quantize_convolutions(folder: Path) -> None:
    """Quantize the image tower of an exported model, which `mcmfh export` does not do."""
    description, tower = PortableHasher(folder).description, folder / IMAGE_TOWER
    quantize_dynamic(tower, folder / "quantized", op_types_to_quantize=["Conv", "MatMul"], weight_type=QuantType.QUInt8)
    (folder / "quantized").replace(tower)
    replace(description, files=dict(description.files) | {IMAGE_TOWER: sha256_of(tower)}).write(folder)


def embed(systems: Mapping[str, PortableHasher], reader: PairShardReader, rows: Sequence[int]) -> dict[str, Any]:
    """Embed the reports and films of pairs, one by one: `Embedded` by modality and system."""
    found: dict[tuple[str, str], list[tuple[Array, float]]] = {}
    for number, row in enumerate(track(rows, description="pairs")):
        pair = reader[row]
        assert pair.image is not None and pair.text is not None  # noqa: PT018, S101  # chosen so
        picture = decode_image(pair.image)
        picture.load()
        for name, system in systems.items():
            work: Mapping[str, tuple[Callable[[Any], Array], Any]] = {
                "text": (system.embed_text, pair.text),
                "image": (system.embed_image, picture),
            }
            for modality, (function, given) in work.items():
                if (modality, name) == ("image", "int8") and number >= FILMS:
                    continue
                begin = time.perf_counter()
                embedding = function(given)
                taken = 1e3 * (time.perf_counter() - begin)
                found.setdefault((modality, name), []).append((embedding, taken))
    return {
        modality: {
            name: Embedded(*(np.stack(column) for column in zip(*found[modality, name], strict=True)))
            for name in SYSTEMS
        }
        for modality in ("text", "image")
    }


def judge(reader: PairShardReader, rows: Sequence[int]) -> Judged:
    """Find out which pairs are relevant for which."""
    pairs = [reader.describe(row) for row in rows]
    groups = np.unique([pair.group for pair in pairs], return_inverse=True)[1]
    searched = groups[:, None] != groups
    labels = [set(pair.labels) for pair in pairs]
    relevant = searched & np.array([[not one.isdisjoint(other) for other in labels] for one in labels])
    abnormal = np.array([NORMAL not in one for one in labels])
    return Judged(searched, relevant, abnormal & relevant.any(axis=1), groups)


def precisions(queries: Bits, items: Bits, judged: Judged) -> NDArray[np.float64]:
    """Compute P@20 of each query that is asked.

    Args:
        queries: (Q, bits), the codes of the first Q pairs as queries.
        items: (N, bits), the codes of all pairs as items.
        judged: Which are relevant.
    """
    found = []
    for row in np.flatnonzero(judged.asked[: len(queries)]):
        searched = judged.searched[row]
        distances = (queries[row] != items[searched]).sum(axis=1)
        found.append(quality(distances, judged.relevant[row][searched]).precision)
    return np.array(found)


def compare(hasher: PortableHasher, embedded: Mapping[str, Any], judged: Judged) -> Iterator[Row]:
    """Compare the bits of queries and what they find, for each search."""
    described = hasher.description
    hash_one = {"image": hasher.hash_image, "text": hasher.hash_text}
    items = {one: _bits([hash_one[one](e)["code"] for e in embedded[one]["float32"].embeddings]) for one in hash_one}
    both = zip(*(embedded[one]["float32"].embeddings for one in ("image", "text")), strict=True)
    items["case"] = _bits([hasher.hash_case(image, text) for image, text in both])
    for name, search in SEARCHES.items():
        code = name if described.query_codes else "code"
        towers = embedded[search.query]
        number = len(towers["int8"].embeddings)
        theirs, ours = (
            _bits([hash_one[search.query](one)[code] for one in towers[system].embeddings[:number]])
            for system in SYSTEMS
        )
        before, after = (precisions(queries, items[search.target], judged) for queries in (theirs, ours))
        groups = np.unique(judged.groups[:number][judged.asked[:number]], return_inverse=True)[1]
        difference, low, high = mean_interval(after - before, groups)
        yield {
            "part": "codes",
            "model": f"{described.hasher}, {described.num_bits} bits",
            "tower": search.query,
            "search": name,
            "queries": number,
            "bits": theirs.size,
            "flips": int((theirs != ours).sum()),
            "asked": len(before),
            "p@20": round(float(before.mean()), 6),
            "p@20_int8": round(float(after.mean()), 6),
            "difference": round(difference, 6),
            "low": round(low, 6),
            "high": round(high, 6),
        }


def _bits(codes: Sequence[Array]) -> Bits:
    return np.stack(codes) >= 0


def towers(folder: Path, embedded: Mapping[str, Any]) -> Iterator[Row]:
    """List size and time of each tower, and the mean cosine with the embeddings of the float32 one."""
    for modality, file in (("text", TEXT_TOWER), ("image", IMAGE_TOWER)):
        number = len(embedded[modality]["int8"].embeddings)
        for name in SYSTEMS:
            ours, theirs = (
                one / np.linalg.norm(one, axis=1, keepdims=True)
                for one in (embedded[modality][system].embeddings[:number] for system in (name, "float32"))
            )
            yield {
                "part": "towers",
                "tower": modality,
                "system": name,
                "queries": number,
                "megabytes": round((folder / name / file).stat().st_size / 1e6, 1),
                "milliseconds": round(float(np.median(embedded[modality][name].milliseconds[:number])), 1),
                "cosine": round(float((ours * theirs).sum(axis=1).mean()), 4),
            }


def measure(arguments: Any) -> Iterator[Row]:  # noqa: ANN401  # of argparse
    """Export, quantize and compare; pairs are embedded once."""
    spec = read_encoder_spec(None if arguments.encoder is None else Path(find_config(str(arguments.encoder))))
    reader = PairShardReader(arguments.pairs, [arguments.split])
    rows = np.flatnonzero(reader.present.all(axis=1))[: arguments.items].tolist()
    judged = judge(reader, rows)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        export_model(arguments.checkpoint[0], folder / "float32", spec)
        shutil.copytree(folder / "float32", folder / "int8")
        quantize_text_tower(folder / "int8")
        quantize_convolutions(folder / "int8")
        embedded = embed({name: PortableHasher(folder / name) for name in SYSTEMS}, reader, rows)
        yield from towers(folder, embedded)
        for number, checkpoint in enumerate(arguments.checkpoint):
            export_model(checkpoint, folder / str(number), None)
            yield from compare(PortableHasher(folder / str(number)), embedded, judged)


def tables(rows: pd.DataFrame) -> dict[str, str]:
    """Render bits and P@20 of each search, and size and time of the towers."""
    codes, sizes = (rows[rows["part"] == part] for part in PARTS)
    lines = [
        [
            row["model"],
            row["tower"],
            row["search"],
            f"{row['queries']:,.0f}",
            f"{row['flips']:,.0f} of {row['bits']:,.0f} ({row['flips'] / row['bits']:.1%})",
            f"{row['asked']:,.0f}",
            f"{row['p@20']:.3f}",
            f"{row['p@20_int8']:.3f}",
            f"{row['difference']:.3f} [{row['low']:.3f}, {row['high']:.3f}]",
        ]
        for _, row in codes.iterrows()
    ]
    heads = ["model", "int8 tower", "search", "queries", "bits that differ", "abnormal queries"]
    heads += [f"P@{K}, float32", f"P@{K}, int8", "difference [95 %]"]
    first = sizes[sizes["system"] == SYSTEMS[0]].set_index("tower")["milliseconds"]
    ratios = sizes["milliseconds"] / sizes["tower"].map(first)
    sizes = sizes.assign(queries=sizes["queries"].astype(int), ratio=ratios.map("{:.2f}".format))
    columns = {"tower": "tower", "system": "weights", "queries": "inputs", "megabytes": "file, MB"}
    columns |= {"ratio": "time, float32 = 1", "cosine": "cosine with float32"}
    return {
        "codes": markdown(pd.DataFrame(lines, columns=heads), "lll"),
        "towers": markdown(sizes[[*columns]].set_axis([*columns.values()], axis=1), "ll"),
    }


if __name__ == "__main__":
    parser = options(__doc__, "csv", "page")
    parser.add_argument("--pairs", type=Path, required=True, help="folder of pair shards")
    parser.add_argument("--checkpoint", type=Path, action="append", required=True, help="trained hasher; repeat it")
    parser.add_argument("--encoder", type=Path, help="YAML file of the encoder; default: model/encoder_offline.yaml")
    parser.add_argument("--split", default="test", help="split whose pairs are searched by")
    parser.add_argument("--items", type=int, help="pairs at most; default: all")
    given = parser.parse_args()
    packages = ("onnxruntime", "numpy", "pillow")
    report(given, measure(given), tables, benchmark="export_int8", parts=PARTS, packages=packages)
