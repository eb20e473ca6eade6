"""Graphs of towers and hashers in ONNX.

Every graph takes one item: a code then never depends on its batch, and only the length of a text varies. Graphs are
made by torch's exporter that traces (``dynamo=False``): it is there in all versions of torch that this package
supports, and needs no package that changes with them.
"""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx  # noqa: F401  # torch asks for it late, and without naming the extra
import torch
from torch import Tensor, nn

from mcmfh_lightning.encoders import Encoder
from mcmfh_lightning.hashers.base import Hasher
from mcmfh_lightning.searches import SEARCHES, SearchName

_OPSET = 17
_EXPECTED = (
    ".* might cause the trace to be incorrect",  # what varies is checked by `mcmfh_lightning.export.check`
    "You are using the legacy TorchScript-based ONNX export",
    "The feature will be removed. Please remove usage of this function",
    "Exporting aten::index operator",
)
"""Beginnings of warnings of the exporter, in the versions of torch that are supported."""


class ImageTowerGraph(nn.Module):
    """Prepared picture (1, 3, H, W) to its embedding (1, image_dim)."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, pixels: Tensor) -> Tensor:
        """Embed a picture."""
        return self.encoder.encode_image(pixels)


class TextTowerGraph(nn.Module):
    """Token ids (1, L) to the embedding of their text (1, text_dim).

    Args:
        encoder: The encoder.
        names: What its ``tokenize`` returns. Of one text, every token counts and is of the first segment.
    """

    def __init__(self, encoder: Encoder, names: Sequence[str]) -> None:
        super().__init__()
        self.encoder = encoder
        self._names = names

    def forward(self, ids: Tensor) -> Tensor:
        """Embed a text."""
        values = {"attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
        return self.encoder.encode_text({name: values.get(name, ids) for name in self._names})


class UnimodalGraph(nn.Module):
    """Embedding (1, dim) of an image or a text to its relaxed codes: as an item, then as the query of each search.

    Args:
        hasher: The hasher.
        modality: ``image`` or ``text``.
        searches: Searches by this modality whose queries have codes of their own.
    """

    def __init__(self, hasher: Hasher, modality: str, searches: Sequence[SearchName]) -> None:
        super().__init__()
        self.hasher = hasher
        self._modality = modality
        self._searches = searches

    def forward(self, embedding: Tensor) -> tuple[Tensor, ...]:
        """Hash an embedding."""
        halved = embedding.half().float()  # as feature shards hold it
        is_image = self._modality == "image"
        codes = self.hasher.encode(halved, None).image if is_image else self.hasher.encode(None, halved).text
        queries = [self.hasher.encode_query(search, halved) for search in self._searches]
        return tuple(code.float() for code in (codes, *queries) if code is not None)


class CaseGraph(nn.Module):
    """Embeddings of an image and its text to the relaxed code of the case."""

    def __init__(self, hasher: Hasher) -> None:
        super().__init__()
        self.hasher = hasher

    def forward(self, image: Tensor, text: Tensor) -> Tensor:
        """Hash a pair of embeddings."""
        batch = {"image": image.half().float(), "text": text.half().float()}
        return self.hasher.evaluate(batch)["case"].float()  # type: ignore[arg-type]  # codes need nothing else


def unimodal_outputs(modality: str, *, query_codes: bool) -> tuple[list[str], list[SearchName]]:
    """Name the outputs of a `UnimodalGraph`, and its searches."""
    searches = [name for name, search in SEARCHES.items() if query_codes and search.query == modality]
    return ["code", *searches], searches


def write_graph(
    graph: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    file: Path,
    *,
    varying: Mapping[str, Mapping[int, str]] | None = None,
) -> None:
    """Write a graph as ONNX.

    Args:
        graph: Module in evaluation mode, on the CPU.
        inputs: Example of its inputs, by name.
        outputs: Names of its outputs.
        file: File to write.
        varying: Name of each dimension that varies, by input.
    """
    graph.eval().requires_grad_(requires_grad=False)
    with warnings.catch_warnings():
        for message in _EXPECTED:
            warnings.filterwarnings("ignore", message=message)
        torch.onnx.export(
            graph,
            tuple(inputs.values()),
            str(file),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: dict(axes) for name, axes in (varying or {}).items()},
            opset_version=_OPSET,
            dynamo=False,
        )
