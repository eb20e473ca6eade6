"""The batches that travel between datamodules, encoders, hashers and callbacks."""

from typing import Literal, NotRequired, TypedDict

from torch import Tensor

Distance = Literal["hamming", "cosine"]
"""What a method ranks by: the Hamming distance of its codes or the cosine of its embeddings."""


class PairBatch(TypedDict):
    """Raw pairs, as an encoder needs them, and what is known of them.

    An item may lack its image or its text, never both; pictures and texts are then fewer than the B items.
    """

    image: Tensor
    """(B_i, 3, H, W): what the encoder's ``preprocess`` makes of the pictures of those items that have one, in their
    order. Without any picture its length is 0, and the other sizes mean nothing."""
    text: Tensor | dict[str, Tensor]
    """What the encoder's ``tokenize`` makes of the texts of the B_t items that have one, in their order. Without
    any text an empty dict."""
    present: Tensor
    """(B, 2) bool: whether the item has an image, a text."""
    labels: Tensor
    """(B, ceil(num_labels / 8)) uint8: label sets, packed as ``numpy.packbits`` does (big-endian bits)."""
    group: Tensor
    """(B,) int64: study, article or patient."""
    text_hash: Tensor
    """(B,) int64: equal for equal texts; 0 without a text."""
    index: Tensor
    """(B,) int64: position of each pair in its split."""


class FeatureBatch(TypedDict):
    """Embeddings with what training and evaluation need to know of them."""

    image: Tensor
    """(B, image_dim) float32; zeros without an image."""
    text: Tensor
    """(B, text_dim) float32; zeros without a text."""
    present: Tensor
    """(B, 2) bool: whether the item has an image, a text."""
    labels: Tensor
    """(B, ceil(num_labels / 8)) uint8: label sets, packed as ``numpy.packbits`` does (big-endian bits)."""
    group: Tensor
    """(B,) int64: study, article or patient."""
    text_hash: Tensor
    """(B,) int64: equal for equal texts; 0 without a text."""
    index: Tensor
    """(B,) int64: position of each pair in its split; the sample id of all keyed randomness."""


class EvaluationOutput(TypedDict):
    """Relaxed codes in [-1, 1]^K that ``validation_step`` and ``test_step`` return; sign >= 0 is the bit 1.

    Every tensor is (B, num_bits), or (B, d) embeddings of a method that ranks by cosine (``Hasher.distance``). A method
    without a fusion of both modalities leaves out the fused entries.
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
