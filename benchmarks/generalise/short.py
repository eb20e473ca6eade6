"""Short queries: the name of a label, typed as a text, searches the test images."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from math import nan

import torch
from torch import Tensor

from generalise.labels import label_interval
from generalise.rows import Row
from generalise.runs import Data, Encoded, Items, Run, encode_test_split, ranked
from mcmfh_lightning.encoders import PACKAGED_TOWERS
from mcmfh_lightning.encoders.text_tower import TextTower
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.hashers.base import Hasher
from mcmfh_lightning.metrics import RankingCounts
from mcmfh_lightning.metrics.functional import pack_bits, precision_at

DEPTH = 20
FEWEST_IMAGES = 5
"""That carry a label, for it to be asked for."""

Embed = Callable[[Sequence[str]], Tensor]


def short(run: Run, data: Data, embed: Embed) -> Iterator[Row]:
    """P@20 of every label, the mean over labels (its interval resamples labels), and how many beat their prevalence."""
    hasher = run.hasher()
    encoded = encode_test_split(hasher, data)
    counts = label_counts(hasher, encoded, text_codes(hasher, embed(queries(data)), data.module.image_dim))
    precision = precision_at(counts.total, counts.relevant, torch.tensor([DEPTH]))[:, 0]
    prevalence = counts.relevant.sum(1).double() / counts.total.sum(1)
    asked = (counts.relevant.sum(1) >= FEWEST_IMAGES).nonzero()[:, 0].tolist()

    def row(subset: str, metric: str, value: float, low: float, high: float, chance: float, number: int) -> Row:
        return Row(
            part="short",
            system=run.system,
            seed=run.seed,
            train=data.name,
            test=data.name,
            protocol="unimodal",
            direction="t2i",
            queries="label names",
            subset=subset,
            metric=metric,
            value=value,
            low=low,
            high=high,
            chance=chance,  # the prevalence, as long as there are 20 images
            number=number,
        )

    name = f"P@{DEPTH}"
    ends = label_interval(precision[asked].tolist())
    yield row("", name, float(precision[asked].mean()), *ends, float(prevalence[asked].mean()), len(asked))
    above = float((precision > prevalence)[asked].double().mean())
    yield row("", "share of labels above prevalence", above, nan, nan, nan, len(asked))
    for label in asked:
        vocabulary = data.module.label_vocabulary
        yield row(vocabulary[label], name, float(precision[label]), nan, nan, float(prevalence[label]), 1)


def queries(data: Data) -> list[str]:
    """What is typed for each label: its name, or the word it stands for where the name is a code."""
    summary = data.module.info.settings.get("pairs", {}).get("summary", {})
    gloss = summary.get("label_gloss", {})
    return [gloss.get(label, label) for label in data.module.label_vocabulary]


def text_codes(hasher: Hasher, text: Tensor, image_dim: int) -> Tensor:
    """Codes of texts alone, (V, num_bits), from embeddings (V, text_dim)."""
    number = len(text)
    with torch.inference_mode():
        output = hasher.evaluate(
            {
                "image": torch.zeros(number, image_dim),
                "text": text.half().float(),  # as features are stored
                "present": torch.tensor([[False, True]]).expand(number, 2),
                "labels": torch.zeros(number, 1, dtype=torch.uint8),
                "group": torch.zeros(number, dtype=torch.int64),
                "text_hash": torch.zeros(number, dtype=torch.int64),
                "index": torch.arange(number),
            }
        )
    return output["text"]


def label_counts(hasher: Hasher, encoded: Encoded, codes: Tensor) -> RankingCounts:
    """Rank the items that have an image for one query a label; those that carry the label are relevant."""
    database = encoded.items(encoded.codes["image"]).where(encoded.present[:, 0])
    labels = pack_bits(torch.eye(len(codes), 8 * database.labels.shape[1]))
    nobody = database.groups.min() - 1  # no item is of the query's own group
    return ranked(hasher, Items(codes, labels, nobody.expand(len(codes))), database)


def packaged_text_tower(data: Data) -> Embed:
    """The text tower of the packaged offline pair.

    Raises:
        DataError: If the features were made by another one.
    """
    tower = _packaged_tower()
    if data.module.encoder.get("text") != tower.identity:
        raise DataError(f"{data.root}: its texts were not encoded by the packaged text tower; leave out the part short")

    def embed(texts: Sequence[str]) -> Tensor:
        with torch.inference_mode():
            embedding: Tensor = tower(tower.tokenize(list(texts)))
        return embedding

    return embed


@cache
def _packaged_tower() -> TextTower:
    return TextTower(PACKAGED_TOWERS["text_model"], PACKAGED_TOWERS["text_sha256"], None, None).eval()
