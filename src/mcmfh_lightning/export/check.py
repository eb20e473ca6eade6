"""Comparison of an exported model with the torch model that it was made of, before anybody uses it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mcmfh_lightning.encoders import Encoder
from mcmfh_lightning.errors import ConfigError
from mcmfh_lightning.export.graphs import CaseGraph, UnimodalGraph, unimodal_outputs
from mcmfh_lightning.hashers.base import Hasher
from mcmfh_lightning.portable.hasher import PortableHasher

NEAR = 1e-4
"""Relaxed codes of two computations may differ by this; so may embeddings, in units of their largest entry."""
HALF_STEP = 2e-3
"""Relaxed codes of two encoders may differ by this: where an embedding falls between two numbers of half precision, a
difference of the last bit of single precision becomes one of half."""
LEAST_COSINE = 0.9
"""Cosine of the embeddings of a text by quantized weights and by the original ones; another model has about 0."""
_TEXTS = (
    "normal",
    "Heart size is normal; no focal consolidation, pneumothorax or pleural effusion. XXXX 12.5 cm, T-spine.",
    "  Kardiomegalie\tna\u00efve \u00b5-opacities (CPT 71046) &amp; \ufb01brosis \u2013 \u201cold\u201d \u80ba  ",
    "The cardiomediastinal silhouette is within normal limits. " * 100,
)
_SHAPES: Mapping[str, tuple[int, ...]] = {"L": (97, 61), "RGB": (200, 301, 3), "RGBA": (33, 640, 4), "I;16": (512, 300)}


def check_export(folder: Path, hasher: Hasher, encoder: Encoder | None) -> float:
    """Compare pictures, token ids, embeddings and codes of an exported model with torch's, for drawn queries.

    Args:
        folder: What was written.
        hasher: Hasher that it was made of.
        encoder: Its encoder, or None where that was left out.

    Returns:
        The largest difference of a relaxed code.

    Raises:
        ConfigError: If something differs by more than rounding.
    """
    exported = PortableHasher(folder)
    with torch.inference_mode():
        if encoder is None:
            sizes = exported.description.image_dim, exported.description.text_dim
            generator = torch.Generator().manual_seed(0)
            images, texts = (torch.randn(8, size, generator=generator) for size in sizes)
        else:
            images, texts = _compare_pictures(exported, encoder), _compare_texts(exported, encoder)
        return max(_code_differences(exported, hasher, images, texts))


def check_flips(quantized: PortableHasher, original: PortableHasher) -> tuple[int, int]:
    """Count the bits of texts that differ between a quantized text tower and the original.

    Returns:
        The number of bits that differ, and of all bits.

    Raises:
        ConfigError: If an embedding is far from the original one.
    """
    flipped = bits = 0
    for text in _TEXTS:
        ours, theirs = quantized.embed_text(text), original.embed_text(text)
        cosine = float(ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs))
        if not cosine >= LEAST_COSINE:  # NaN is not, either
            raise ConfigError(
                f"int8 weights give other embeddings of texts (cosine {cosine:.2f}): export this model without --int8"
            )
        codes, expected = quantized.hash_text(ours), original.hash_text(theirs)
        flipped += sum(int(((codes[name] >= 0) != (expected[name] >= 0)).sum()) for name in expected)
        bits += sum(code.size for code in expected.values())
    return flipped, bits


def _compare_pictures(exported: PortableHasher, encoder: Encoder) -> Tensor:
    """Compare prepared pictures and their embeddings; return torch's."""
    prepare = exported.description.image
    assert prepare is not None  # noqa: S101  # there is an encoder
    embeddings = []
    for picture in _pictures():
        prepared = encoder.preprocess(picture)
        if not np.array_equal(prepare(picture), prepared.numpy()):
            raise _differs(f"pictures (of {picture.width} x {picture.height} pixels, {picture.mode})")
        embeddings.append(encoder.encode_image(prepared[None])[0].float())
        _compare("embeddings of pictures", exported.embed_image(picture), embeddings[-1])
    return torch.stack(embeddings)


def _compare_texts(exported: PortableHasher, encoder: Encoder) -> Tensor:
    """Compare counts of tokens and embeddings of texts, one by one as queries are; return torch's."""
    embeddings = []
    for text in _TEXTS:
        tokens = encoder.tokenize([text])
        if exported.count_tokens(text) != encoder.count_tokens(text):
            raise _differs("tokens")
        embeddings.append(encoder.encode_text(tokens)[0].float())
        _compare("embeddings of texts", exported.embed_text(text), embeddings[-1])
    return torch.stack(embeddings)


def _code_differences(exported: PortableHasher, hasher: Hasher, images: Tensor, texts: Tensor) -> Iterator[float]:
    """Compare the codes of embeddings, each alone."""
    query_codes = exported.description.query_codes
    for modality, embeddings in (("image", images), ("text", texts)):
        names, searches = unimodal_outputs(modality, query_codes=query_codes)
        hash_one = exported.hash_image if modality == "image" else exported.hash_text
        graph = UnimodalGraph(hasher, modality, searches)
        for embedding in embeddings:
            codes = hash_one(embedding.numpy())
            for name, expected in zip(names, graph(embedding[None]), strict=True):
                yield _compare("codes", codes[name], expected[0], scale=1.0, near=HALF_STEP)
    for image, text in zip(images, texts, strict=False):
        expected = CaseGraph(hasher)(image[None], text[None])[0]
        codes_of_case = exported.hash_case(image.numpy(), text.numpy())
        yield _compare("codes of cases", codes_of_case, expected, scale=1.0, near=HALF_STEP)


def _compare(
    what: str, ours: NDArray[np.float32], theirs: Tensor, scale: float | None = None, near: float = NEAR
) -> float:
    """Return the largest difference, in units of the scale or else of the largest entry."""
    expected = cast("NDArray[np.float32]", theirs.numpy())
    difference = float(np.abs(ours - expected).max()) / (scale or float(np.abs(expected).max()))
    if not difference <= near:  # NaN is not, either
        raise _differs(f"{what} (by {difference:.2g})")
    return difference


def _pictures() -> Iterator[Image.Image]:
    """Draw pictures of several modes and odd shapes."""
    rng = np.random.default_rng(0)
    for mode, shape in _SHAPES.items():
        deep = mode == "I;16"
        yield Image.fromarray(rng.integers(0, 1 << (16 if deep else 8), shape).astype(np.uint16 if deep else np.uint8))


def _differs(what: str) -> ConfigError:
    return ConfigError(
        f"{what} of the exported model are not those of the torch model: this encoder or hasher cannot be exported "
        "here (--from-features leaves the encoder out)"
    )
