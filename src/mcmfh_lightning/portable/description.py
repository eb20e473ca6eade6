"""Description of an exported model (``model.json``), and the check of its files."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.files import sha256_of, write_json
from mcmfh_lightning.portable.preprocessing import Preprocessing
from mcmfh_lightning.portable.tokenizing import Tokenization

MODEL_FILE = "model.json"
FORMAT = "mcmfh-onnx"
FORMAT_VERSION = 1
IMAGE_TOWER, TEXT_TOWER, TOKENIZER = "image_tower.onnx", "text_tower.onnx", "tokenizer.json"
HASHERS = {"image": "image.onnx", "text": "text.onnx", "case": "case.onnx"}
"""Graph from embeddings to codes, by what is hashed."""
_Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


@dataclass(frozen=True, kw_only=True)
class Description:
    """Content of ``model.json``.

    Attributes:
        num_bits: Bits of a code.
        hasher: Name of the method.
        weights_sha256: Hash of the hasher's weights and architecture, as in ``archive.json``.
        encoder: Identity of the encoder whose embeddings are hashed.
        query_codes: Whether the code of a query depends on what it searches.
        image_dim: Width of an image embedding.
        text_dim: Width of a text embedding.
        image: How pictures are prepared; None where the encoder was left out.
        text: How texts are tokenized; None where the encoder was left out.
        files: SHA-256 of each file.
        created_by: The release that wrote it.
        int8: Whether the text tower has 8-bit weights: some bits of its codes are not those of the encoder in torch.
    """

    num_bits: Annotated[int, Field(ge=1)]
    hasher: str
    weights_sha256: _Sha256
    encoder: Mapping[str, Any]
    query_codes: bool
    image_dim: Annotated[int, Field(ge=1)]
    text_dim: Annotated[int, Field(ge=1)]
    image: Preprocessing | None
    text: Tokenization | None
    files: Mapping[str, _Sha256]
    created_by: str
    int8: bool = False

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    @property
    def has_encoder(self) -> bool:
        """Tell whether pictures and texts can be hashed; else embeddings alone."""
        return self.image is not None and self.text is not None

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the description of a folder and check its files.

        Raises:
            DataError: If it is not an exported model, of another format version, incomplete or damaged.
        """
        path = folder / MODEL_FILE
        if not path.is_file():
            raise DataError(f"{folder} is not an exported model ({MODEL_FILE} is missing): write one by `mcmfh export`")
        try:
            entries = json.loads(path.read_bytes())
            found = entries.pop("format"), entries.pop("format_version")
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path} is damaged ({error!r}): export the run again") from error
        if found != (FORMAT, FORMAT_VERSION):
            raise DataError(
                f"{path}: {found[0]!r} of version {found[1]!r}, this release reads {FORMAT} of version "
                f"{FORMAT_VERSION}: install the release that wrote it, or export the run again"
            )
        try:
            description = TypeAdapter(cls).validate_json(json.dumps(entries))
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            raise DataError(f"{path}: an entry is missing or unknown ({wrong}): export the run again") from error
        description._check(folder)
        return description

    def write(self, folder: Path) -> None:
        """Write the description."""
        write_json(folder / MODEL_FILE, {"format": FORMAT, "format_version": FORMAT_VERSION} | asdict(self))

    def _check(self, folder: Path) -> None:
        """Refuse a folder whose files are not those of the description."""
        needed = [*HASHERS.values(), *([IMAGE_TOWER, TEXT_TOWER, TOKENIZER] if self.has_encoder else [])]
        for name in needed:
            path = folder / name
            if not path.is_file() or name not in self.files:
                raise DataError(f"{path} is missing: copy the folder again, or export the run again")
            if sha256_of(path) != self.files[name]:
                raise DataError(f"{path} is damaged (its SHA-256 is not that of {MODEL_FILE}): copy the folder again")
