"""Codes of exported models next to those of torch, on the pairs of a split, and the time of a query.

    python benchmarks/export.py --pairs DIR --checkpoint FILE [--checkpoint FILE] [--encoder FILE] [--csv FILE]

Each checkpoint is exported (`mcmfh export`). Each pair of the split that has both an image and a text is then hashed
twice, alone and on one thread: by torch, as archives do, and by the exported pipeline, which prepares the picture and
reads the tokens without torch. Both take turns, so that other work of the machine affects them alike.

Of each kind of code, the bits whose relaxed code is within 1e-4 of 0 are counted apart. A difference of any other bit
ends in exit code 1. Times are medians in milliseconds: of the encoder with what prepares its input, and of the hasher,
which torch asks for one search, while the exported graph computes the codes of all.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from measurements import Row, markdown, options, report, seconds
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track

from mcmfh_lightning.archive.model import identity_of
from mcmfh_lightning.encoders import Encoder
from mcmfh_lightning.encoders.spec import build_encoder, read_encoder_spec
from mcmfh_lightning.export.check import NEAR
from mcmfh_lightning.export.write import export_model
from mcmfh_lightning.hashers.base import Hasher
from mcmfh_lightning.hashers.stored import load_hasher
from mcmfh_lightning.lightning_configs import find_config
from mcmfh_lightning.portable import PortableHasher
from mcmfh_lightning.shards import PairShardReader, decode_image

Array = NDArray[np.float32]
Both = Mapping[str, tuple[Array, Array]]
"""Embeddings of torch and of the exported towers, (N, dim) each, by modality."""
PARTS = ("codes", "times")
SYSTEMS = ("torch", "onnxruntime")


class Times:
    """Seconds of each step, by modality and system."""

    def __init__(self) -> None:
        self._of: dict[tuple[str, str, str], list[float]] = {}

    def run(
        self,
        modality: str,
        step: str,
        system: str,
        work: Callable[..., Any],
        *given: Any,  # noqa: ANN401  # its arguments
    ) -> Any:  # noqa: ANN401  # its result
        """Do something, and keep how long it took."""
        result = []
        taken = seconds(lambda: result.append(work(*given)))
        self._of.setdefault((modality, step, system), []).append(taken)
        return result[0]

    def rows(self, name: str) -> Iterator[Row]:
        """List the medians, and those of the whole query."""
        for modality in ("image", "text"):
            for system in SYSTEMS:
                steps = {step: taken for (one, step, by), taken in self._of.items() if (one, by) == (modality, system)}
                steps["query"] = list(np.sum([*steps.values()], axis=0))
                milliseconds = {step: round(1e3 * float(np.median(taken)), 3) for step, taken in steps.items()}
                yield {"part": "times", "model": name, "code": modality, "system": system, **milliseconds}


def embed(
    reader: PairShardReader, rows: Sequence[int], encoder: Encoder, exported: PortableHasher, times: Times
) -> Both:
    """Embed pairs one by one with both systems."""

    def embed_image(picture: Image.Image) -> Array:
        return encoder.encode_image(encoder.preprocess(picture)[None])[0].numpy()

    def embed_text(text: str) -> Array:
        return encoder.encode_text(encoder.tokenize([text]))[0].numpy()

    work: Mapping[str, Sequence[Callable[[Any], Array]]] = {
        "image": (embed_image, exported.embed_image),
        "text": (embed_text, exported.embed_text),
    }
    found: dict[str, tuple[list[Array], list[Array]]] = {"image": ([], []), "text": ([], [])}
    for row in track(rows, description="pairs"):
        pair = reader[row]
        assert pair.image is not None and pair.text is not None  # noqa: PT018, S101  # chosen so
        picture = decode_image(pair.image)
        picture.load()
        for modality, given in (("image", picture), ("text", pair.text)):
            for system, function, kept in zip(SYSTEMS, work[modality], found[modality], strict=True):
                kept.append(times.run(modality, "encoder", system, function, given))
    return {modality: (np.stack(theirs), np.stack(ours)) for modality, (theirs, ours) in found.items()}


def hash_pairs(both: Both, hasher: Hasher, exported: PortableHasher, times: Times) -> Mapping[str, tuple[Array, Array]]:
    """Hash embeddings one by one with both systems: relaxed codes of torch and of the export by kind."""
    found: dict[str, tuple[list[Array], list[Array]]] = {}
    halves = [torch.from_numpy(both[modality][0]).half().float() for modality in ("image", "text")]
    for row in range(len(halves[0])):
        batch: Any = {"image": halves[0][row : row + 1], "text": halves[1][row : row + 1]}
        codes = hasher.evaluate(batch)
        theirs = {kind: codes[kind] for kind in ("image", "text", "case")} | codes.get("queries", {})  # type: ignore[literal-required]
        image, text = both["image"][1][row], both["text"][1][row]
        of_image = times.run("image", "hasher", "onnxruntime", exported.hash_image, image)
        of_text = times.run("text", "hasher", "onnxruntime", exported.hash_text, text)
        times.run("image", "hasher", "torch", hasher.encode_query, "i2case", batch["image"])
        times.run("text", "hasher", "torch", hasher.encode_query, "t2case", batch["text"])
        ours = {**of_image, **of_text, "case": exported.hash_case(image, text)}
        ours |= {"image": of_image["code"], "text": of_text["code"]}
        for kind, relaxed in theirs.items():
            kept = found.setdefault(kind, ([], []))
            kept[0].append(relaxed[0].float().numpy())
            kept[1].append(ours[kind])
    return {kind: (np.stack(theirs), np.stack(ours)) for kind, (theirs, ours) in found.items()}


def compare(name: str, kind: str, theirs: Array, ours: Array) -> Row:
    """Count the bits that differ, apart from those that rounding may decide."""
    near = np.abs(theirs) <= NEAR
    flipped = (theirs >= 0) != (ours >= 0)
    return {
        "part": "codes",
        "model": name,
        "code": kind,
        "items": len(theirs),
        "bits": theirs.size,
        "near": int(near.sum()),
        "flips_near": int((flipped & near).sum()),
        "flips": int((flipped & ~near).sum()),
        "difference": float(f"{np.abs(theirs - ours).max():.2g}"),
    }


def measure(arguments: Any) -> Iterator[Row]:  # noqa: ANN401  # of argparse
    """Export and compare every checkpoint; pairs are embedded once."""
    torch.set_num_threads(1)
    spec = read_encoder_spec(None if arguments.encoder is None else Path(find_config(str(arguments.encoder))))
    reader = PairShardReader(arguments.pairs, [arguments.split])
    rows = np.flatnonzero(reader.present.all(axis=1))[: arguments.items].tolist()
    encoder = build_encoder(spec, identity_of(arguments.checkpoint[0]).encoder).eval()
    both: Both | None = None
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        for number, checkpoint in enumerate(arguments.checkpoint):
            place = Path(folder) / str(number)
            with torch.inference_mode(mode=False):
                export_model(checkpoint, place, spec)
            exported, hasher, times = PortableHasher(place), load_hasher(checkpoint).hasher, Times()
            name = f"{exported.description.hasher}, {exported.description.num_bits} bits"
            first, both = both is None, both or embed(reader, rows, encoder, exported, times)
            for kind, codes in hash_pairs(both, hasher, exported, times).items():
                yield compare(name, kind, *codes)
            if first:
                yield from times.rows(name)


def tables(rows: pd.DataFrame) -> dict[str, str]:
    """Render the counts of bits, and the times of a query."""
    codes, times = (rows[rows["part"] == part] for part in PARTS)
    heads = {"model": "model", "code": "code", "items": "items", "bits": "bits", "near": f"within {NEAR:g} of 0"}
    heads |= {"flips_near": "flips among these", "flips": "other flips", "difference": "largest difference"}
    counts = codes[[*heads]].astype({"items": int, "bits": int, "near": int, "flips_near": int, "flips": int})
    steps = {"model": "model", "code": "query", "system": "system", "encoder": "encoder, ms"}
    steps |= {"hasher": "hasher, ms", "query": "whole query, ms"}
    return {
        "codes": markdown(counts.set_axis([*heads.values()], axis=1), "ll"),
        "times": markdown(times[[*steps]].set_axis([*steps.values()], axis=1), "lll"),
    }


if __name__ == "__main__":
    parser = options(__doc__, "csv", "page")
    parser.add_argument("--pairs", type=Path, required=True, help="folder of pair shards")
    parser.add_argument("--checkpoint", type=Path, action="append", required=True, help="trained hasher; repeat it")
    parser.add_argument("--encoder", type=Path, help="YAML file of the encoder; default: model/encoder_offline.yaml")
    parser.add_argument("--split", default="test", help="split whose pairs are hashed")
    parser.add_argument("--items", type=int, help="pairs at most; default: all")
    given = parser.parse_args()
    packages = ("torch", "onnxruntime", "numpy", "pillow")
    result = report(given, measure(given), tables, benchmark="export", parts=PARTS, packages=packages)
    flips = result.loc[result["part"] == "codes", "flips"].astype(float).sum()
    if flips:
        sys.exit(f"{flips:.0f} bits differ that rounding does not decide")
