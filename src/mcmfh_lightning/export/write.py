"""Writing a trained hasher, and its encoder, to a folder that runs without torch."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from mcmfh_lightning import __version__
from mcmfh_lightning.archive.info import TRAINED_FROM
from mcmfh_lightning.archive.model import read_model
from mcmfh_lightning.encoders import Encoder
from mcmfh_lightning.errors import CheckpointError, ConfigError, DataError
from mcmfh_lightning.export.check import check_export
from mcmfh_lightning.export.graphs import (
    CaseGraph,
    ImageTowerGraph,
    TextTowerGraph,
    UnimodalGraph,
    unimodal_outputs,
    write_graph,
)
from mcmfh_lightning.export.quantization import quantize_text_tower
from mcmfh_lightning.export.transforms import read_preprocessing, write_tokenizer
from mcmfh_lightning.files import check_folder, sha256_of
from mcmfh_lightning.hashers.base import Hasher
from mcmfh_lightning.hashers.stored import build_hasher, split_encoder
from mcmfh_lightning.portable.description import HASHERS, IMAGE_TOWER, TEXT_TOWER, TOKENIZER, Description
from mcmfh_lightning.portable.preprocessing import Preprocessing
from mcmfh_lightning.portable.tokenizing import Tokenization

_BEST = Path("fit", "checkpoints", "best.ckpt")


def find_checkpoint(run: Path) -> Path:
    """Find the best checkpoint of a run; a file is one itself.

    Raises:
        CheckpointError: If a folder has none.
    """
    if run.is_dir() and not (run / _BEST).is_file():
        raise CheckpointError(
            f"{run} has no {_BEST}: name the folder that `mcmfh fit --run-dir` wrote, or a checkpoint"
        )
    return run / _BEST if run.is_dir() else run


def export_model(checkpoint: Path, out: Path, encoder_spec: Mapping[str, Any] | None, *, int8: bool = False) -> str:
    """Write a hasher and its encoder as ONNX, and compare what was written with the original.

    Args:
        checkpoint: Trained hasher.
        out: Folder to make.
        encoder_spec: How to build the encoder; see `mcmfh_lightning.encoders.spec.build_encoder`. None leaves it out:
            embeddings are hashed.
        int8: Whether to quantize the weights of the text tower, after the comparison.

    Returns:
        What was done.

    Raises:
        CheckpointError: If the checkpoint cannot be used, its encoder is another one, or it was trained with it and the
            encoder is left out.
        ConfigError: If the encoder cannot be built, exported, or quantized.
        DataError: If there is something at ``out`` already.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} is not an empty folder: delete it, or pass another --out")
    check_folder(out, "--out")
    if int8 and encoder_spec is None:
        raise ConfigError("--int8 quantizes the encoder, which --from-features leaves out: pass one of them")
    stored, identity, encoder = read_model(checkpoint, encoder_spec)
    if encoder is None and TRAINED_FROM in identity.encoder:
        raise CheckpointError(
            f"{checkpoint} was trained end to end, with an encoder of its own: leave out --from-features"
        )
    hasher = build_hasher(split_encoder(stored)[0], checkpoint).hasher
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as place:
        folder = Path(place) / "model"  # a folder that the umask of the user decides about
        folder.mkdir()
        image, text = (None, None) if encoder is None else _write_encoder(encoder, folder)
        _write_hasher(hasher, folder, query_codes=identity.query_codes)
        Description(
            **vars(identity),
            image_dim=int(hasher.architecture["image_dim"]),
            text_dim=int(hasher.architecture["text_dim"]),
            image=image,
            text=text,
            files={path.name: sha256_of(path) for path in sorted(folder.iterdir())},
            created_by=f"mcmfh-lightning {__version__}",
        ).write(folder)
        difference = check_export(folder, hasher, encoder)
        done = f"; {quantize_text_tower(folder)}" if int8 else ""
        if out.is_dir():
            out.rmdir()
        shutil.move(folder, out)
    size = sum(path.stat().st_size for path in out.iterdir()) / 1e6
    parts = "hasher" if encoder is None else "hasher and encoder"
    return f"{parts} written, {size:.1f} MB; relaxed codes differ from torch's by {difference:.1g} at most{done}"


def _write_hasher(hasher: Hasher, folder: Path, *, query_codes: bool) -> None:
    """Write the graphs from embeddings to codes."""
    example = {name: torch.randn(1, int(hasher.architecture[f"{name}_dim"])) for name in ("image", "text")}
    for modality, embedding in example.items():
        outputs, searches = unimodal_outputs(modality, query_codes=query_codes)
        graph = UnimodalGraph(hasher, modality, searches)
        write_graph(graph, {modality: embedding}, outputs, folder / HASHERS[modality])
    write_graph(CaseGraph(hasher), example, ["code"], folder / HASHERS["case"])


def _write_encoder(encoder: Encoder, folder: Path) -> tuple[Preprocessing, Tokenization]:
    """Write the graphs from prepared pictures and token ids to embeddings, and the tokenizer."""
    if encoder.identity["precision"] != "fp32":
        raise ConfigError(
            f"the encoder's precision is {encoder.identity['precision']}, only fp32 can be exported: leave the encoder "
            "out (--from-features)"
        )
    preprocessing = read_preprocessing(encoder.preprocess)
    tokenization = write_tokenizer(encoder, folder / TOKENIZER)
    pixels = {"pixels": torch.zeros(1, 3, preprocessing.out_height, preprocessing.out_width)}
    write_graph(ImageTowerGraph(encoder), pixels, ["embedding"], folder / IMAGE_TOWER)
    tokens = encoder.tokenize(["heart size is normal"])
    names = [name for name in tokens if name != "truncated"]
    ids = {"ids": tokens["input_ids" if "input_ids" in names else names[0]]}
    varying = {} if tokenization.padded else {"ids": {1: "tokens"}}
    write_graph(TextTowerGraph(encoder, names), ids, ["embedding"], folder / TEXT_TOWER, varying=varying)
    return preprocessing, tokenization
