"""Hasher and encoder of an exported model, run by onnxruntime."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mcmfh_lightning.errors import ConfigError, DataError
from mcmfh_lightning.portable.description import HASHERS, IMAGE_TOWER, TEXT_TOWER, TOKENIZER, Description
from mcmfh_lightning.portable.token_count import TokenCount
from mcmfh_lightning.portable.tokenizing import PortableTokenizer

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Embedding = NDArray[np.float32]
Codes = Mapping[str, NDArray[np.float32]]
"""Relaxed codes (num_bits,): ``code`` is that of an item; where queries have codes of their own, each by its search."""


class PortableHasher:
    """Hasher that an export wrote, with its encoder unless that was left out; may be used from several threads.

    Every code is computed from one item alone, on one thread. Hashers round embeddings to half precision, as feature
    shards hold them.

    Args:
        folder: Folder that `mcmfh export` wrote.

    Attributes:
        description: Content of its ``model.json``.

    Raises:
        DataError: If it is not such a folder, or a file is missing or damaged.

    Example:
        ``PortableHasher("model").hash_text("enlarged heart")["code"] >= 0`` are the bits of a text.
    """

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        self._folder = folder
        self.description = Description.load(folder)
        self._hashers = {what: _session(folder / name) for what, name in HASHERS.items()}
        self._towers: dict[str, InferenceSession] = {}
        self._tokenizer: PortableTokenizer | None = None
        if self.description.text is not None and self.description.image is not None:
            self._towers = {"image": _session(folder / IMAGE_TOWER), "text": _session(folder / TEXT_TOWER)}
            self._tokenizer = PortableTokenizer(folder / TOKENIZER, self.description.text)

    def embed_image(self, picture: Image.Image) -> Embedding:
        """Embed a picture of any mode and size, (image_dim,), prepared as the encoder does it in training.

        Shards hold deep and transparent pictures as `mcmfh_lightning.images.decode` reads them: give such.

        Raises:
            ConfigError: If the encoder was left out.
        """
        if self.description.image is None:
            raise self._no_encoder()
        return self._embed("image", self.description.image(picture)[None])

    def embed_text(self, text: str) -> Embedding:
        """Embed a text, (text_dim,).

        Raises:
            ConfigError: If the encoder was left out.
        """
        return self._embed("text", self._tokens()(text))

    def count_tokens(self, text: str) -> TokenCount:
        """Count the tokens of a text, and those that the encoder reads.

        Raises:
            ConfigError: If the encoder was left out.
        """
        return self._tokens().count(text)

    def hash_image(self, image: Image.Image | Embedding) -> Codes:
        """Hash a picture, or its embedding: as an item, and as the query of each search by an image."""
        embedding = self.embed_image(image) if isinstance(image, Image.Image) else image
        return self._hash("image", image=embedding)

    def hash_text(self, text: str | Embedding) -> Codes:
        """Hash a text, or its embedding: as an item, and as the query of each search by a text."""
        return self._hash("text", text=self.embed_text(text) if isinstance(text, str) else text)

    def hash_case(self, image: Image.Image | Embedding, text: str | Embedding) -> NDArray[np.float32]:
        """Hash a case that has both an image and a text; each may be given as its embedding."""
        picture = self.embed_image(image) if isinstance(image, Image.Image) else image
        report = self.embed_text(text) if isinstance(text, str) else text
        return self._hash("case", image=picture, text=report)["code"]

    def _hash(self, what: Literal["image", "text", "case"], **embeddings: Embedding) -> Codes:
        session = self._hashers[what]
        names = [output.name for output in session.get_outputs()]
        given = {name: np.asarray(embedding, np.float32)[None] for name, embedding in embeddings.items()}
        return dict(zip(names, (code[0] for code in session.run(names, given)), strict=True))

    def _embed(self, tower: Literal["image", "text"], values: NDArray[Any]) -> Embedding:
        session = self._towers[tower]
        embedding: Embedding = session.run(None, {session.get_inputs()[0].name: values})[0][0]
        return embedding

    def _tokens(self) -> PortableTokenizer:
        if self._tokenizer is None:
            raise self._no_encoder()
        return self._tokenizer

    def _no_encoder(self) -> ConfigError:
        return ConfigError(f"{self._folder} was exported without its encoder: give embeddings, or export it with that")


def _session(path: Path) -> "InferenceSession":
    """Load a graph for one thread of the CPU: threads that wait for each other make short passes slower.

    Raises:
        DataError: If onnxruntime cannot run it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class of its own for each reason
        raise DataError(f"{path}: onnxruntime cannot run it ({type(error).__name__}): export the run again") from error
