"""The batches that travel between datamodules, encoders, hashers and callbacks."""

from typing import NotRequired, TypedDict

from torch import Tensor


class PairBatch(TypedDict):
    """Raw pairs, as an encoder needs them.

    ``image`` is what the encoder's ``preprocess`` makes of a picture (B, 3, H, W), ``text`` what its ``tokenize``
    makes of B texts (a tensor or a dict of tensors).
    """

    image: Tensor
    text: Tensor | dict[str, Tensor]
    index: Tensor
    """(B,) int64: position of each pair in its split."""


class FeatureBatch(TypedDict):
    """Embeddings with what training and evaluation need to know of them."""

    image: Tensor
    """(B, image_dim) float32."""
    text: Tensor
    """(B, text_dim) float32."""
    labels: Tensor
    """(B, ceil(num_labels / 8)) uint8: label sets, packed as ``numpy.packbits`` does (big-endian bits)."""
    group: Tensor
    """(B,) int64: study, article or patient."""
    text_hash: Tensor
    """(B,) int64: equal for equal texts."""
    index: Tensor
    """(B,) int64: position of each pair in its split; the sample id of all keyed randomness."""


class EvaluationOutput(TypedDict):
    """Relaxed codes in [-1, 1]^K that ``validation_step`` and ``test_step`` return; sign >= 0 is the bit 1.

    Every tensor is (B, num_bits). A method without a fusion of both modalities leaves out the fused entries.
    """

    image: Tensor
    """Code of the image alone (protocols ``unimodal``, ``asymmetric``)."""
    text: Tensor
    """Code of the text alone (protocols ``unimodal``, ``asymmetric``)."""
    case: Tensor
    """One code of an item that has both (protocol ``asymmetric``, database side)."""
    fused_image: NotRequired[Tensor]
    """Image head of the fused pair (protocol ``paired``)."""
    fused_text: NotRequired[Tensor]
    """Text head of the fused pair (protocol ``paired``)."""
    routing: NotRequired[Tensor]
    """(layers, 2, num_experts) int64: tokens per expert in this batch, modality 0 is the image, 1 the text."""
