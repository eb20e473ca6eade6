"""Encoders on a GPU: images and texts a second of two encoders of the real sizes, with random weights.

``EfficientNet-Lite0`` and ``MiniLM`` have the sizes of the packaged towers, ``ViT-B/16`` and ``PubMedBERT`` those of
BiomedCLIP. Lengths of texts are quantiles of a distribution: a median of 45 tokens, a tenth above 90, 256 at most.
"""

from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import random_towers as towers
import torch
from gpu_device import Device, casting, computing_in, product_rates, times
from gpu_sections import Measured, Step
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from mcmfh_lightning.encoders import Encoder, OpenCLIPEncoder

BATCHES = {"cuda": {"images": 512, "texts": 128}, "cpu": {"images": 2, "texts": 2}}
"""Of more texts the longest has 256 tokens almost always, and cutting to it saves nothing."""
CONTEXT = 256
"""Tokens that PubMedBERT and MiniLM read at most."""
PEAK = "one large matrix product"


class Encoding(NamedTuple):
    """An encoder, one of its sides, a precision, and whether texts are padded to the whole context."""

    encoder: str
    side: str
    precision: str
    padded: bool = False


def sizes_of(device: Device) -> towers.Sizes:
    """Choose the sizes of the two towers."""
    return towers.TINY if device.rehearsed else towers.PACKAGED


def make_two_towers(folder: Path, device: Device) -> Encoder:
    """Make the sizes of the packaged towers, on the device; tiny ones for a rehearsal."""
    return towers.make_two_towers(folder / "towers", sizes_of(device)).to(device.kind)


def make_biomedclip(folder: Path, device: Device) -> Encoder:
    """Make the sizes of BiomedCLIP, on the device, in bf16; tiny ones for a rehearsal."""
    if device.rehearsed:
        words = towers.make_words(towers.TINY.words)
        written = towers.write_biomedclip(folder / "biomedclip", words=words, context_length=CONTEXT)
    else:
        written = towers.write_full_biomedclip(folder / "biomedclip")
    return OpenCLIPEncoder(f"local-dir:{written}", precision="bf16").to(device.kind)


MAKERS = {"towers": make_two_towers, "BiomedCLIP": make_biomedclip}
NAMES = {
    ("towers", "images"): "EfficientNet-Lite0, 224 pixels",
    ("towers", "texts"): "MiniLM, 256 tokens",
    ("BiomedCLIP", "images"): "ViT-B/16, 224 pixels",
    ("BiomedCLIP", "texts"): "PubMedBERT, 256 tokens",
}


def random_tokens(count: int, vocabulary: int, device: Device, *, padded: bool) -> tuple[Tensor, Tensor]:
    """Draw token ids and which of them are text, (B, L) each, cut to the longest text unless it is padded."""
    draw = {"generator": torch.Generator(device.kind).manual_seed(0), "device": device.kind}
    quantiles = (torch.randperm(count, **draw) + 0.5) / count  # type: ignore[call-overload]  # torch's stubs
    # Log-normal: exp(3.8) is 45; exp(3.8 + 1.28 * 0.54) is 90.
    lengths = (3.8 + 0.54 * torch.special.ndtri(quantiles)).exp().long().clamp(3, CONTEXT).unsqueeze(1)  # (B, 1)
    width = CONTEXT if padded else int(lengths.max())
    given = torch.arange(width, device=device.kind) < lengths  # (B, L)
    ids = torch.randint(len(towers.SPECIAL), vocabulary, (count, width), **draw)  # type: ignore[call-overload]  # as above
    return ids * given, given


def random_inputs(encoding: Encoding, device: Device) -> Tensor | dict[str, Tensor]:
    """Draw what the encoder takes."""
    count = BATCHES[device.kind][encoding.side]
    if encoding.side == "images":
        side = sizes_of(device).side
        return torch.randn(count, 3, side, side, device=device.kind)
    ids, given = random_tokens(count, sizes_of(device).words, device, padded=encoding.padded)
    if encoding.encoder == "BiomedCLIP":
        return {"tokens": ids}
    return {"input_ids": ids, "attention_mask": given.long(), "token_type_ids": torch.zeros_like(ids)}


def measure(
    encoding: Encoding, make: Callable[[str], Encoder], peak: Callable[[str], float], device: Device
) -> Iterator[Measured]:
    """Count the operations of a batch, and time it."""
    encoder, inputs = make(encoding.encoder), random_inputs(encoding, device)
    # The encoder of BiomedCLIP's sizes holds weights in bf16; the other is cast as it runs.
    cast = "float32" if encoding.encoder == "BiomedCLIP" else encoding.precision
    encode: Callable[[Any], Tensor] = encoder.encode_image if encoding.side == "images" else encoder.encode_text

    def run() -> Tensor:
        with torch.no_grad(), casting(cast, device):
            return encode(inputs)

    with computing_in(encoding.precision):
        with FlopCounterMode(display=False) as counter:
            run()
        count = BATCHES[device.kind][encoding.side]
        floor = peak(encoding.precision) / counter.get_total_flops() * count
        rates = [count / taken for taken in times(run, device)]
        texts = {True: ", padded to the context", False: ", padded to the longest"}[encoding.padded]
        setting = f"batch {count:,}, {encoding.precision}{texts if encoding.side == 'texts' else ''}"
        what, unit = NAMES[encoding.encoder, encoding.side], f"{encoding.side}/s"
        if device.rehearsed:
            what = f"tiny, for {what}"
        yield Measured(what, setting, rates, unit, floor, f"operations at the rate of {PEAK}", "share >= 0.5", run=run)


def peaks(rates: Callable[[str], list[float]], precision: str) -> Iterator[Measured]:
    """Report the rate of the large matrix product."""
    yield Measured(PEAK, precision, [rate / 1e12 for rate in rates(precision)], "TFLOP/s")


def steps(device: Device, folder: Path) -> Iterator[Step]:
    """List the encodings: bf16 first."""
    make = cache(lambda name: MAKERS[name](folder, device))
    rates = cache(lambda precision: product_rates(precision, device))

    def peak(precision: str) -> float:
        return median(rates(precision))

    encodings = [Encoding("BiomedCLIP", "images", "bf16")]
    encodings += [Encoding("BiomedCLIP", "texts", "bf16", padded) for padded in (False, True)]
    for precision in ("bf16", "TF32", "float32"):
        encodings += [Encoding("towers", "images", precision)]
        encodings += [Encoding("towers", "texts", precision, padded) for padded in (False, True)]
    for precision in ("bf16", "TF32", "float32"):
        yield f"{PEAK}, {precision}", partial(peaks, rates, precision)
    for one in encodings:
        name = f"{NAMES[one.encoder, one.side]}, {one.precision}{', padded' if one.padded else ''}"
        yield name, partial(measure, one, make, peak, device)
