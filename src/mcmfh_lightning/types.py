"""Types of the batches that datamodules, encoders, hashers and callbacks exchange."""

from typing import Literal, NotRequired, TypedDict

from torch import Tensor

from mcmfh_lightning.searches import SearchName

Distance = Literal["hamming", "cosine"]
"""What a method ranks by: the Hamming distance of its codes or the cosine of its embeddings."""


class _Batch(TypedDict):
    """Entries that the batches of pairs and of features share, of B items.

    Attributes:
        present: (B, 2) bool: whether the item has an image, a text.
        labels: (B, ceil(num_labels / 8)) uint8: label sets, packed as ``numpy.packbits`` does (big-endian bits).
        group: (B,) int64: study, article or patient.
        text_hash: (B,) int64: equal for equal texts; 0 without a text.
        index: (B,) int64: position of each pair in its split; the sample id of all keyed randomness.
    """

    present: Tensor
    labels: Tensor
    group: Tensor
    text_hash: Tensor
    index: Tensor


class PairBatch(_Batch):
    """Raw pairs, as an encoder needs them, and what is known of them.

    An item may lack its image or its text, never both; pictures and texts are then fewer than the B items.

    Attributes:
        image: (B_i, 3, H, W): what the encoder's ``preprocess`` makes of the pictures of those items that have one, in
            their order. Without any picture its length is 0, and the other sizes mean nothing.
        text: What the encoder's ``tokenize`` makes of the texts of the B_t items that have one, in their order. Without
            any text an empty dict.
    """

    image: Tensor
    text: Tensor | dict[str, Tensor]


class FeatureBatch(_Batch):
    """Embeddings with what training and evaluation need to know of them.

    Attributes:
        image: (B, image_dim) float32; zeros without an image.
        text: (B, text_dim) float32; zeros without a text.
    """

    image: Tensor
    text: Tensor


class EvaluationOutput(TypedDict):
    """Relaxed codes in [-1, 1]^K that ``validation_step`` and ``test_step`` return; sign >= 0 is the bit 1.

    Codes are (B, num_bits), or (B, d) embeddings of a method that ranks by cosine (``Hasher.distance``). A method
    without a fusion of both modalities leaves out the fused entries.

    Attributes:
        image: Code of the image alone: as an item, and as a query of every search that is not in ``queries``.
        text: Code of the text alone, likewise.
        case: One code of an item that has both (protocol ``asymmetric``, database side).
        queries: Codes of queries by search, of a method whose query codes depend on what is searched; each of the
            image or the text alone.
        fused_image: Image head of the fused pair (protocol ``paired``).
        fused_text: Text head of the fused pair (protocol ``paired``).
        routing: (layers, 2, num_experts) int64: tokens per expert in this batch, modality 0 is the image, 1 the text.
    """

    image: Tensor
    text: Tensor
    case: Tensor
    queries: NotRequired[dict[SearchName, Tensor]]
    fused_image: NotRequired[Tensor]
    fused_text: NotRequired[Tensor]
    routing: NotRequired[Tensor]
