"""Folders with a copy of an open_clip repository, made to load without a look-up in the network."""

import json
from pathlib import Path
from typing import Any

from mcmfh_lightning.errors import DataError

_SCHEMA = "local-dir:"
_CONFIG = "open_clip_config.json"


def local_folder(model: str) -> Path | None:
    """Folder of a ``local-dir:FOLDER`` model, None for other models.

    Raises:
        DataError: The folder lacks its configuration or weights.
    """
    if not model.startswith(_SCHEMA):
        return None
    folder = Path(model.removeprefix(_SCHEMA))
    if not (folder / _CONFIG).is_file():
        raise DataError(f"{folder / _CONFIG} is missing; copy all files of the model's repository into {folder}")
    if not any(path.suffix in {".safetensors", ".bin", ".pth"} for path in folder.iterdir()):
        raise DataError(f"{folder}: no weights; copy open_clip_model.safetensors or open_clip_pytorch_model.bin there")
    return folder


def offline_text_config(folder: Path) -> dict[str, Any]:
    """Keyword arguments for open_clip that keep a text tower of transformers from asking the hub.

    The repository's configuration names the text tower by its hub id, and open_clip would ask the hub for the tower's
    architecture although all weights are in the folder. The answer is read from ``FOLDER/text_encoder`` instead.

    Returns:
        ``{"text_cfg": {...}}``, or nothing where open_clip builds the text tower itself.

    Raises:
        DataError: The configuration cannot be read, or the folder lacks the text tower's architecture or the tokenizer.
    """
    try:
        text_config = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))["model_cfg"]["text_cfg"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise DataError(f"{folder / _CONFIG}: no model_cfg.text_cfg ({error!r}); copy it again") from error
    if "hf_model_name" not in text_config:
        return {}
    text_encoder = folder / "text_encoder"
    if not (text_encoder / "config.json").is_file():
        raise DataError(
            f"{text_encoder / 'config.json'} is missing; copy the config.json of {text_config['hf_model_name']} there "
            f"(the architecture of the text tower; its weights are not needed)"
        )
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt")):
        raise DataError(f"{folder}: no tokenizer; copy tokenizer.json and tokenizer_config.json of the model there")
    return {"text_cfg": {**text_config, "hf_model_name": str(text_encoder), "hf_model_pretrained": False}}
