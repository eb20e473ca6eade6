"""Figures of a few test queries and what they find. They show pictures and texts: only for those who ask for it."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from textwrap import shorten, wrap
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.types import STEP_OUTPUT
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from mcmfh_lightning.callbacks.evaluation import EvaluationCallback, Stage, is_query_loader, log_figure, report_folder
from mcmfh_lightning.evaluation.protocols import CROSS_MODAL, Direction, query_code
from mcmfh_lightning.metrics.functional import hamming_distances, pack_signs, unpack_bits
from mcmfh_lightning.shards import PairShardReader
from mcmfh_lightning.types import EvaluationOutput, FeatureBatch

QUERIES, HITS = 5, 5
_MOST_LETTERS = 260


class Hit(NamedTuple):
    """An item of a gallery.

    Attributes:
        row: Its position among the queries.
        distance: Hamming distance from the query; None for the query itself.
    """

    row: int
    distance: int | None


class ExampleGallery(EvaluationCallback):
    """Figures, at the end of a test, of five queries and their five nearest items, for images and for texts as queries.

    The figures, ``examples_i2t.png`` and ``examples_t2i.png``, name ids, labels and Hamming distances; where the data
    are raw pairs they show the pictures and the texts. **They go to the loggers like every figure, to a server if the
    logger sends there**: hence this callback is in no shipped config. ``--log-examples true`` adds it.

    Codes are of one modality alone. The queries are spread evenly over the whole pairs of the test split, which are
    also what is searched; the query's own group is left out, as in every ranking. Ties come in the order of the split.
    Does nothing for a method without codes.
    """

    def __init__(self) -> None:
        self._outputs: list[dict[str, Tensor]] = []
        self._has_codes = True

    def begin(self, trainer: Trainer, pl_module: LightningModule, stage: Stage) -> None:
        """Begin an epoch."""
        self._outputs = []
        self._has_codes = getattr(pl_module, "distance", "hamming") == "hamming"

    def add(
        self, trainer: Trainer, outputs: STEP_OUTPUT, batch: FeatureBatch, stage: Stage, dataloader_idx: int
    ) -> None:
        """Keep the codes of the queries of a test on the first process, which sees all of them."""
        if (
            stage == "test"
            and self._has_codes
            and trainer.is_global_zero
            and is_query_loader(trainer, stage, dataloader_idx)
        ):
            relaxed = cast(EvaluationOutput, outputs)
            kept = {"image": pack_signs(relaxed["image"]), "text": pack_signs(relaxed["text"])}
            kept |= {one.name: pack_signs(query_code(relaxed, "unimodal", one)) for one in CROSS_MODAL}
            kept |= {"group": batch["group"], "labels": batch["labels"], "index": batch["index"]}
            self._outputs.append({name: tensor.cpu() for name, tensor in kept.items()})

    def finish(self, trainer: Trainer, pl_module: LightningModule, stage: Stage) -> None:
        """Search and draw, at the end of a test."""
        if stage != "test":
            return
        folder = report_folder(trainer)
        outputs, self._outputs = self._outputs, []
        if not outputs or folder is None:
            return
        table = {name: torch.cat([one[name] for one in outputs]) for name in outputs[0]}
        data = trainer.datamodule  # type: ignore[attr-defined]  # set at run time
        for direction in CROSS_MODAL:
            rows = nearest_examples(table[direction.name], table[direction.database], table["group"])
            figure = _figure(rows, table, data, direction)
            log_figure(trainer, folder / f"examples_{direction.name}.png", figure)


def nearest_examples(query_codes: Tensor, codes: Tensor, groups: Tensor) -> list[list[Hit]]:
    """Choose queries and find what is nearest to each.

    Args:
        query_codes: (N, W) uint8, packed.
        codes: (N, W) uint8 of the same items.
        groups: (N,) int64.

    Returns:
        For each of at most `QUERIES` queries itself and its at most `HITS` nearest items.
    """
    chosen = torch.linspace(0, len(codes) - 1, min(QUERIES, len(codes))).long()
    examples = []
    for row, distances in zip(chosen.tolist(), hamming_distances(query_codes[chosen], codes), strict=True):
        order = distances.argsort(stable=True)
        order = order[groups[order] != groups[row]][:HITS]
        examples.append([Hit(row, None), *(Hit(hit, int(distances[hit])) for hit in order.tolist())])
    return examples


def _figure(
    examples: Sequence[Sequence[Hit]],
    table: Mapping[str, Tensor],
    data: Any,  # noqa: ANN401  # FeatureDataModule or PairDataModule
    direction: Direction,
) -> Figure:
    reader = data.reader("test")
    vocabulary = np.array(data.label_vocabulary)
    labels = unpack_bits(table["labels"])[:, : len(vocabulary)].bool().numpy()
    raw = isinstance(reader, PairShardReader)
    figure = Figure(figsize=(3.0 * (1 + HITS), (3.2 if raw else 0.8) * len(examples)), dpi=100, layout="constrained")
    panels = figure.subplots(len(examples), 1 + HITS, squeeze=False)
    for row, items in zip(panels, examples, strict=True):
        for panel in row:
            panel.axis("off")
        for panel, item in zip(row, items, strict=False):
            position = int(table["index"][item.row])
            place = "query" if item.distance is None else f"distance {item.distance}"
            names = ", ".join(vocabulary[labels[item.row]]) or "no label"
            heading = f"{shorten(reader.ids[position], 40)}\n{place}\n{shorten(names, 60)}"
            panel.set_title(heading, fontsize="x-small", parse_math=False)
            if isinstance(reader, PairShardReader):
                _show(panel, reader, position, direction.query if item.distance is None else direction.database)
    return figure


def _show(panel: Any, reader: PairShardReader, position: int, modality: str) -> None:  # noqa: ANN401  # untyped
    """Show the picture or the beginning of the text of a raw pair."""
    pair = reader[position]
    if modality == "image" and pair.image is not None:
        with Image.open(BytesIO(pair.image)) as picture:
            panel.imshow(np.asarray(picture.convert("L")), cmap="gray")
    elif modality == "text" and pair.text is not None:
        text = "\n".join(wrap(shorten(pair.text, _MOST_LETTERS), 36))
        panel.text(0.0, 1.0, text, va="top", fontsize="x-small", parse_math=False, transform=panel.transAxes)
