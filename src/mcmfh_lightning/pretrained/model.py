"""Trained hasher with its encoder: packed codes of images, texts and pairs, and their search."""

from collections.abc import Sequence
from pathlib import Path
from shutil import copyfile
from typing import Any, NamedTuple, Self, cast

import numpy as np
import torch
from huggingface_hub import ModelCard, ModelHubMixin
from lightning.fabric.utilities import move_data_to_device
from numpy.typing import NDArray
from PIL import Image

from mcmfh_lightning.encoders import Encoder
from mcmfh_lightning.encoders.base import embed_pairs
from mcmfh_lightning.encoders.spec import TOWER_FILE, portable_spec
from mcmfh_lightning.errors import ConfigError, DataError
from mcmfh_lightning.hashers.base import Hasher
from mcmfh_lightning.hashers.items import Side, item_codes
from mcmfh_lightning.hashers.shared import CARD_FILE, write_shared
from mcmfh_lightning.images.given import GivenPicture, given_picture
from mcmfh_lightning.metrics.functional import hamming_distances, nearest, pack_signs, packed_width
from mcmfh_lightning.metrics.functional.packing import as_packed_codes
from mcmfh_lightning.portable.token_count import TokenCount
from mcmfh_lightning.pretrained.origin import Origin
from mcmfh_lightning.searches import SEARCHES, SearchName
from mcmfh_lightning.shards.members import check_given_text
from mcmfh_lightning.types import FeatureBatch, PairBatch

PackedCodes = NDArray[np.uint8]
"""(N, ceil(num_bits / 8)) uint8, bits as ``numpy.packbits`` packs them."""
_ROWS = 32  # as archives encode their items


class Nearest(NamedTuple):
    """The nearest items of each query, nearest first; ties in the order of the items."""

    rows: NDArray[np.int64]
    """(Q, k) positions of the items."""
    distances: NDArray[np.int16]
    """(Q, k) distances in bits."""


class PairHasher(
    ModelHubMixin,
    library_name="mcmfh-lightning",
    tags=["cross-modal-hashing", "medical"],
    paper_url="https://arxiv.org/abs/2512.06449",
):
    """Trained hasher with its encoder; `load` and `from_pretrained` make one.

    Codes are those that an archive has of the same items and queries: pictures are decoded as a shard would hold them,
    embeddings are rounded to half precision as feature shards are. Research use, not diagnosis.

    Args:
        hasher: Trained hasher.
        encoder: Encoder of the embeddings that it was trained on.
        origin: What is shared with the weights.
        device: Where both run.

    Attributes:
        num_bits: Bits of a code.
        origin: What is shared with the weights.
    """

    # The mixin would keep all arguments for a config.json of its own; `write_shared` writes that file.
    _hub_mixin_config = {}  # noqa: RUF012  # declared by the mixin

    def __init__(self, hasher: Hasher, encoder: Encoder, origin: Origin, device: str = "cpu") -> None:
        self._hasher = hasher.eval().to(device)
        self._encoder = encoder.eval().to(device)
        self._device = device
        self.origin = origin
        self.num_bits = int(hasher.architecture["num_bits"])

    def __repr__(self) -> str:
        name = self._hasher.architecture["hasher"]
        return f"PairHasher({name}, {self.num_bits} bits, encoder {self._encoder.identity['name']!r})"

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        encoder: Encoder | str | Path | None = None,
        device: str = "cpu",
        **download: Any,  # noqa: ANN401  # those of huggingface_hub
    ) -> Self:
        """Load a shared hasher from a folder, or from the model hub.

        Only its ``config.json``, ``model.safetensors``, model card and image tower are downloaded. Nothing is
        unpickled, and no code of it is run.

        Args:
            pretrained_model_name_or_path: Folder that `save_pretrained` wrote, or name on the hub (``OWNER/NAME``).
            encoder: See `mcmfh_lightning.load`.
            device: Where it runs.
            download: Options of the download: ``revision``, ``token``, ``cache_dir``, ``force_download``,
                ``local_files_only``.

        Raises:
            CheckpointError: If the files are damaged, missing or of something else, or the encoder is another one.
            ConfigError: If the encoder cannot be built here.
            DataError: If the hub does not give the files.
        """
        from mcmfh_lightning.pretrained.loading import fetch, load_shared

        folder = Path(pretrained_model_name_or_path)
        if not folder.is_dir():
            folder = fetch(str(pretrained_model_name_or_path), **download)
        return load_shared(cls, folder, encoder, device)

    def encode_images(
        self, images: GivenPicture | Sequence[GivenPicture], search: SearchName | None = None
    ) -> PackedCodes:
        """Hash images.

        Args:
            images: Images, or one: JPEG, PNG or DICOM files, pictures of Pillow, or arrays.
            search: Search that they are queries of, such as ``i2t``; their codes as items if None.

        Returns:
            (N, ceil(num_bits / 8)) uint8.

        Raises:
            ConfigError: If it is not a search by images.
            DataError: If an image cannot be read.
        """
        one = isinstance(images, str | Path | Image.Image | np.ndarray)
        pictures = [cast("GivenPicture", images)] if one else list(cast("Sequence[GivenPicture]", images))
        return self._encode(pictures, [None] * len(pictures), "image", search)

    def encode_texts(self, texts: str | Sequence[str], search: SearchName | None = None) -> PackedCodes:
        """Hash texts.

        Args:
            texts: Texts, or one.
            search: Search that they are queries of, such as ``t2i``; their codes as items if None.

        Returns:
            (N, ceil(num_bits / 8)) uint8.

        Raises:
            ConfigError: If it is not a search by texts.
            DataError: If a text is empty or too long for a report.
        """
        given = [texts] if isinstance(texts, str) else list(texts)
        return self._encode([None] * len(given), given, "text", search)

    def encode_pairs(self, images: Sequence[GivenPicture | None], texts: Sequence[str | None]) -> PackedCodes:
        """Hash cases: the code of each sees its image and its text, or the one that it has.

        Args:
            images: The image of each case, None without one.
            texts: The text of each case, None without one.

        Returns:
            (N, ceil(num_bits / 8)) uint8.

        Raises:
            DataError: If there is not a text for each image, a case has neither, or one of them cannot be used.
        """
        if len(images) != len(texts):
            raise DataError(f"{len(images)} images and {len(texts)} texts: pass one of each, or None, for each case")
        return self._encode(list(images), list(texts), "case", None)

    def count_tokens(self, text: str) -> TokenCount | None:
        """Count the tokens of a text, and those that the encoder reads; see `Encoder.count_tokens`."""
        return self._encoder.count_tokens(text)

    def distances(self, queries: PackedCodes, items: PackedCodes) -> NDArray[np.int16]:
        """Compare every query with every item.

        Args:
            queries: (Q, ceil(num_bits / 8)) uint8.
            items: (N, ceil(num_bits / 8)) uint8.

        Returns:
            (Q, N) distances in bits.

        Raises:
            ConfigError: If they are not packed codes of this number of bits.
        """
        return cast("NDArray[np.int16]", hamming_distances(self._codes(queries), self._codes(items)).numpy())

    def nearest(self, queries: PackedCodes, items: PackedCodes, k: int = 10) -> Nearest:
        """Find the nearest items of each query; `mcmfh_lightning.archive.Archive` searches large collections.

        Args:
            queries: (Q, ceil(num_bits / 8)) uint8.
            items: (N, ceil(num_bits / 8)) uint8.
            k: Number of items to find; all if there are fewer.

        Raises:
            ConfigError: If they are not packed codes of this number of bits, or ``k`` is less than 1.
        """
        if k < 1:
            raise ConfigError(f"k={k} is less than 1")
        found = nearest(self._codes(queries), self._codes(items), min(k, max(1, len(items))))
        return Nearest(found.ids[:, : len(items)].numpy(), found.distances[:, : len(items)].numpy())

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:  # noqa: ANN401  # the mixin's
        """Make the model card of `save_pretrained`: from the test report of the run, or the one that it came with.

        Args:
            args: Not used; the mixin's.
            kwargs: ``license`` of the weights, as the hub names licenses; it is not known otherwise.
        """
        card = ModelCard(self.origin.card_text())
        if "license" in kwargs:
            card.data["license"] = kwargs["license"]
        return card

    def _save_pretrained(self, save_directory: Path) -> None:
        """Write all but the card; the mixin's `save_pretrained` calls this, and keeps a card that is there."""
        spec, tower = (None, None) if self.origin.encoder_spec is None else portable_spec(self.origin.encoder_spec)
        if tower is not None and tower.resolve() != (save_directory / TOWER_FILE).resolve():
            copyfile(tower, save_directory / TOWER_FILE)
        write_shared(save_directory, self.origin.stored, spec, self.origin.value_range)
        card = save_directory / CARD_FILE
        if card.is_file() and self.origin.weights_sha256 not in card.read_text(encoding="utf-8", errors="replace"):
            card.unlink()  # of other weights, whose numbers it would carry on

    def _encode(
        self,
        images: Sequence[GivenPicture | None],
        texts: Sequence[str | None],
        side: Side,
        search: SearchName | None,
    ) -> PackedCodes:
        if search is not None and (search not in SEARCHES or SEARCHES[search].query != side):
            able = ", ".join(name for name, one in SEARCHES.items() if one.query == side)
            raise ConfigError(f"search={search!r} is not a search by {side}s: pass one of {able}, or leave it out")
        codes = [np.empty((0, packed_width(self.num_bits)), np.uint8)]
        for start in range(0, len(images), _ROWS):
            rows = range(start, min(start + _ROWS, len(images)))
            relaxed = item_codes(self._hasher, self._embed(images, texts, rows), self._device)
            # A hasher with one code for all searches has that of the item alone.
            codes.append(pack_signs(relaxed[side] if search is None else relaxed.get(search, relaxed[side])).numpy())
        return np.concatenate(codes)

    def _embed(self, images: Sequence[GivenPicture | None], texts: Sequence[str | None], rows: range) -> FeatureBatch:
        """Embed some of the items, as they are embedded for an archive."""
        pixels, words, present = [], [], []
        for row in rows:
            image, text = images[row], texts[row]
            if image is None and text is None:
                raise DataError(f"case {row + 1} of {len(images)} has neither an image nor a text: leave it out")
            if image is not None:
                picture = given_picture(image, self.origin.value_range, f"image {row + 1} of {len(images)}")
                pixels.append(self._encoder.preprocess(picture))
            if text is not None:
                check_given_text(text, f"text {row + 1} of {len(texts)}")
                words.append(text)
            present.append((image is not None, text is not None))
        batch = {
            "image": torch.stack(pixels) if pixels else torch.empty(0),
            "text": self._encoder.tokenize(words) if words else {},
            "present": torch.tensor(present),
        }
        moved = cast("PairBatch", move_data_to_device(batch, self._device))
        with torch.inference_mode():
            features = embed_pairs(self._encoder, moved)
        for name in ("image", "text"):
            features[name] = features[name].half().float()  # as feature shards hold them
            odd = (~features[name].isfinite().all(1)).nonzero()[:, 0].tolist()
            if odd:
                place = rows[odd[0]] + 1
                raise DataError(f"the embedding of {name} {place} is not finite: check the weights of the encoder")
        return features

    def _codes(self, codes: PackedCodes) -> torch.Tensor:
        try:
            return as_packed_codes(torch.from_numpy(np.array(codes)), self.num_bits)
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{error}: pass what the encode_ methods of this model return") from error
