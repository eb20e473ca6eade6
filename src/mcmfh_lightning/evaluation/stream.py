"""Streams databases past the queries of an evaluation epoch, for the model and for the nulls alike."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, cast, get_args

import torch
import torch.distributed as dist
from torch import Tensor
from torchmetrics.utilities.distributed import gather_all_tensors

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.evaluation.nulls import ConstantRankings, RandomHyperplanes, derangement, derangement_within
from mcmfh_lightning.evaluation.protocols import PROTOCOLS, SIDES, Direction, Side
from mcmfh_lightning.metrics import (
    CosineHistogram,
    HammingHistogram,
    HammingInstanceHistogram,
    LevelHistogram,
    RankingCounts,
)
from mcmfh_lightning.metrics.functional import pack_signs, unpack_bits
from mcmfh_lightning.types import Distance, EvaluationOutput, FeatureBatch

MODEL, HYPERPLANES, CONSTANT, CHANCE = "model", "hyperplanes", "constant", "chance"
SHUFFLED, SHUFFLED_WITHIN = "shuffled queries", "shuffled within"
INSTANCE_PROTOCOL, INSTANCE_DATABASE = "unimodal", "unseen"
"""Where finding one's own partner is a question: in the split of the queries, by codes that have not seen it."""

Kind = Literal["whole", "image only", "text only"]
KINDS: tuple[Kind, ...] = get_args(Kind)
KINDS_OF_SIDE: Mapping[Side, tuple[Kind, ...]] = {
    "image": ("whole", "image only"),
    "text": ("whole", "text only"),
    "both": ("whole",),
}
"""Constant rankings are counted once for each kind of item and added up for each side, so that a database of whole
pairs is counted once, not once for each side."""


class Ranking(NamedTuple):
    """Names one ranking of a database."""

    system: str
    protocol: str
    direction: str


class Queries(NamedTuple):
    """What is known of the queries, on the CPU, sorted by index."""

    indices: Tensor
    """(Q,) int64: positions in their split."""
    labels: Tensor
    """(Q, ceil(num_labels / 8)) uint8."""
    groups: Tensor
    """(Q,) int64."""
    text_hashes: Tensor
    """(Q,) int64."""


class StreamResult(NamedTuple):
    """Everything an epoch counted, equal on all processes."""

    queries: Queries
    num_bits: int
    """Width of the codes, or of the embeddings."""
    distance: Distance
    rankings: dict[str, dict[Ranking, RankingCounts]]
    """By database."""
    constants: dict[str, dict[Side, dict[str, RankingCounts]]]
    """By database, side and name of the constant ranking; these serve every protocol and direction of the side."""
    instances: dict[str, dict[Ranking, RankingCounts]]
    """By database; the relevant items are partners and items of equal text."""
    graded: bool
    """Whether the labels shared with the query were counted, not only whether there is any."""
    missing: dict[str, list[str]]
    """Protocols left out, with the codes that the method does not give."""


class NullSettings(NamedTuple):
    """What the nulls of a test need, apart from the batches."""

    seed: int
    normal_label: int | None
    """Position of the normal label, if there is one."""


class RankingStream:
    """Collects the queries, then counts each database batch at once and forgets it.

    Args:
        loaders: Names of the evaluation loaders, "query" first.
        protocols: Protocols to evaluate.
        nulls: Settings of the nulls; None leaves out them, grades and instances, which model selection does not need.
        device: Where the batches are.
        distance: What the model ranks by. Where each query's partner comes is asked of codes only.
        constants: Constant rankings to count as well; None leaves them out.
    """

    def __init__(
        self,
        loaders: Sequence[str],
        protocols: Sequence[str],
        nulls: NullSettings | None,
        device: torch.device,
        distance: Distance = "hamming",
        constants: ConstantRankings | None = None,
    ) -> None:
        self._distance = distance
        self._constant_rankings = constants
        self._loaders = loaders
        self._protocols = protocols
        self._nulls = nulls
        self._num_bits = 0
        self._missing: dict[str, list[str]] = {}
        self._hyperplanes: RandomHyperplanes | None = None
        self._query_batches: list[FeatureBatch] = []
        self._query_codes: list[dict[str, dict[str, Tensor]]] = []
        self._index = torch.zeros(0, dtype=torch.int64, device=device)
        self._rankings: dict[str, dict[Ranking, HammingHistogram | CosineHistogram]] = {}
        self._constants: dict[str, dict[Kind, dict[str, LevelHistogram]]] = {}
        self._instances: dict[str, dict[Ranking, HammingInstanceHistogram]] = {}

    @property
    def _graded(self) -> bool:
        return self._nulls is not None

    def add(self, loader: int, outputs: EvaluationOutput, batch: FeatureBatch) -> None:
        """Take one batch of the queries or of a database.

        Args:
            loader: Position of its loader.
            outputs: Relaxed codes, (B, num_bits) each.
            batch: The batch they are of.

        Raises:
            DataError: A query lacks its image or its text; a database item may.
        """
        if loader == 0:
            self._add_queries(outputs, batch)
        else:
            self._start()
            self._count(self._loaders[loader], outputs, batch)

    def finish(self) -> StreamResult | None:
        """Sum over all processes.

        Returns:
            The counts; None if there was no query.

        Raises:
            DataError: The processes saw different queries.
        """
        self._start()
        if not _equal_everywhere(self._index):
            raise DataError(
                "the processes saw different queries, so their counts do not add up: give every rank all queries in "
                "the same order (with loaders of your own, use_distributed_sampler=False)"
            )
        if not self._query_batches:
            return None
        order = self._index.argsort()
        indices, labels, groups, text_hashes = (
            torch.cat([batch[name] for batch in self._query_batches])[order].cpu()
            for name in ("index", "labels", "group", "text_hash")
        )
        return StreamResult(
            Queries(indices, labels, groups, text_hashes),
            self._num_bits,
            self._distance,
            {name: {key: metric.compute() for key, metric in row.items()} for name, row in self._rankings.items()},
            {name: self._constants_by_side(name) for name in self._constants},
            {name: {key: metric.compute() for key, metric in row.items()} for name, row in self._instances.items()},
            self._graded,
            self._missing,
        )

    def _constants_by_side(self, database: str) -> dict[Side, dict[str, RankingCounts]]:
        ours = self._constants[database]
        # All processes have to sum the same counts: a kind of item may lie in the share of some of them only.
        seen = torch.tensor([kind in ours for kind in KINDS], device=self._index.device)
        for kind, somewhere in zip(KINDS, _anywhere(seen).tolist(), strict=True):
            if somewhere and kind not in ours:
                ours[kind] = self._new_constants()
        counts = {
            kind: {name: metric.compute() for name, metric in ours[kind].items()} for kind in KINDS if kind in ours
        }
        return {
            side: {name: _added([counts[kind][name] for kind in kinds if kind in counts]) for name in counts["whole"]}
            for side, kinds in KINDS_OF_SIDE.items()
        }

    def _add_queries(self, outputs: EvaluationOutput, batch: FeatureBatch) -> None:
        if not batch["present"].all():
            lacking = batch["index"][~batch["present"].all(1)]
            raise DataError(
                f"the query with index {int(lacking[0])} lacks its image or its text: query with whole pairs, and keep"
                " the others for the database"
            )
        if not self._query_batches:
            self._first_query_batch(outputs, batch)
        # The embeddings are done with once hashed.
        kept = {name: tensor for name, tensor in batch.items() if name not in ("image", "text")}
        self._query_batches.append(cast(FeatureBatch, kept))
        self._query_codes.append(self._codes(outputs, batch))

    def _first_query_batch(self, outputs: EvaluationOutput, batch: FeatureBatch) -> None:
        self._num_bits = outputs["image"].shape[1]
        for protocol in self._protocols:
            needed = {name for direction in PROTOCOLS[protocol] for name in (direction.query, direction.database)}
            if absent := sorted(needed - outputs.keys()):
                self._missing[protocol] = absent
        if self._nulls is not None:
            image, text = batch["image"], batch["text"]
            self._hyperplanes = RandomHyperplanes(
                self._num_bits, image.shape[1], text.shape[1], self._nulls.seed, image.device
            )

    def _codes(self, outputs: EvaluationOutput, batch: FeatureBatch) -> dict[str, dict[str, Tensor]]:
        """Packed codes by system and name."""
        relaxed: Mapping[str, Any] = outputs
        kept = pack_signs if self._distance == "hamming" else Tensor.float
        codes = {MODEL: {name: kept(relaxed[name]) for name in self._code_names()}}
        if self._hyperplanes is not None:
            codes[HYPERPLANES] = self._hyperplanes.codes(batch)
        return codes

    def _code_names(self) -> list[str]:
        return sorted({name for _, direction in self._directions() for name in (direction.query, direction.database)})

    def _directions(self) -> list[tuple[str, Direction]]:
        """Protocol and direction of everything evaluated."""
        evaluated = [protocol for protocol in self._protocols if protocol not in self._missing]
        return [(protocol, direction) for protocol in evaluated for direction in PROTOCOLS[protocol]]

    def _start(self) -> None:
        """With all queries in, announce them to the metrics of every database; nothing on later calls."""
        if self._rankings or not self._query_batches:
            return
        labels, groups, self._index = (
            torch.cat([batch[name] for batch in self._query_batches]) for name in ("labels", "group", "index")
        )
        codes = self._all_query_codes()
        for database in self._loaders[1:]:
            self._rankings[database] = {}
            for system, of_system in codes.items():
                for protocol, direction in self._directions():
                    queries = of_system[direction.query], labels, groups, self._index
                    ranking = Ranking(system, protocol, direction.name)
                    self._rankings[database][ranking] = self._new_histogram(system, *queries)
            self._constants[database] = {"whole": self._new_constants()}
            if self._graded and database == INSTANCE_DATABASE and self._distance == "hamming":
                self._instances[database] = self._new_instances(codes, groups)

    def _new_histogram(
        self, system: str, codes: Tensor, labels: Tensor, groups: Tensor, index: Tensor
    ) -> HammingHistogram | CosineHistogram:
        """Empty counts of a ranking by distance: of codes, or of a model's embeddings."""
        if self._distance == "cosine" and system != HYPERPLANES:
            cosine = CosineHistogram(graded=self._graded)
            cosine.set_embedded_queries(codes, labels, groups, index)
            return cosine
        hamming = HammingHistogram(self._num_bits, graded=self._graded)
        hamming.set_queries(codes, labels, groups, index)
        return hamming

    def _new_instances(
        self, codes: Mapping[str, Mapping[str, Tensor]], groups: Tensor
    ) -> dict[Ranking, HammingInstanceHistogram]:
        """Empty counts of where each query's own partner comes."""
        texts = torch.cat([batch["text_hash"] for batch in self._query_batches])
        instances = {}
        for system, of_system in codes.items():
            for direction in PROTOCOLS[INSTANCE_PROTOCOL]:
                histogram = HammingInstanceHistogram(self._num_bits)
                histogram.set_queries(of_system[direction.query], groups, self._index, content=texts)
                instances[Ranking(system, INSTANCE_PROTOCOL, direction.name)] = histogram
        return instances

    def _new_constants(self) -> dict[str, LevelHistogram]:
        """Empty counts of every constant ranking, by name."""
        if self._constant_rankings is None:
            return {}
        labels, groups = (torch.cat([batch[name] for batch in self._query_batches]) for name in ("labels", "group"))
        constants = {
            name: LevelHistogram(num_levels, graded=self._graded)
            for name, num_levels in self._constant_rankings.num_levels.items()
        }
        for constant in constants.values():
            constant.set_queries(labels, groups, self._index)
        return constants

    def _all_query_codes(self) -> dict[str, dict[str, Tensor]]:
        codes = {
            system: {name: torch.cat([batch[system][name] for batch in self._query_codes]) for name in of_system}
            for system, of_system in self._query_codes[0].items()
        }
        if self._nulls is not None and len(self._index) > 1:
            # A query takes the place of another one by index, so that the order of loading does not matter.
            order = self._index.argsort()
            for system, permutation in self._shuffles(self._nulls, order).items():
                taken = torch.empty_like(order)
                taken[order] = order[permutation.to(order.device)]
                codes[system] = {name: code[taken] for name, code in codes[MODEL].items()}
        return codes

    def _shuffles(self, nulls: NullSettings, order: Tensor) -> dict[str, Tensor]:
        """Which query, by rank of index, lends its code to which, by name of the null."""
        shuffles = {SHUFFLED: derangement(len(order), nulls.seed)}
        if nulls.normal_label is not None:
            labels = torch.cat([batch["labels"] for batch in self._query_batches])[order].cpu()
            shuffles[SHUFFLED_WITHIN] = derangement_within(unpack_bits(labels)[:, nulls.normal_label] == 1, nulls.seed)
        return shuffles

    def _count(self, database: str, outputs: EvaluationOutput, batch: FeatureBatch) -> None:
        labels, groups = batch["labels"], batch["group"]
        kinds = _rows_of_kinds(batch["present"])
        rows = {
            side: torch.cat([kinds[kind] for kind in of_side if kind in kinds])
            for side, of_side in KINDS_OF_SIDE.items()
        }
        codes = self._codes(outputs, batch)
        stored = {(protocol, direction.name): direction.database for protocol, direction in self._directions()}

        def of(ranking: Ranking) -> tuple[Tensor, Tensor]:
            """Positions and codes of the items that the ranking has."""
            name = stored[ranking.protocol, ranking.direction]
            able = rows[SIDES[name]]
            shuffled = ranking.system in (SHUFFLED, SHUFFLED_WITHIN)
            return able, codes[MODEL if shuffled else ranking.system][name][able]

        for ranking, histogram in self._rankings[database].items():
            able, code = of(ranking)
            if isinstance(histogram, CosineHistogram):
                histogram.update_embedded(code, labels[able], groups[able])
            else:
                histogram.update(code, labels[able], groups[able])
        for ranking, instance in self._instances.get(database, {}).items():
            able, code = of(ranking)
            instance.update(code, groups[able], batch["index"][able], content=batch["text_hash"][able])
        if self._constant_rankings is not None:
            self._count_constants(self._constant_rankings, self._constants[database], kinds, batch)

    def _count_constants(
        self,
        constants: ConstantRankings,
        counts: dict[Kind, dict[str, LevelHistogram]],
        kinds: Mapping[Kind, Tensor],
        batch: FeatureBatch,
    ) -> None:
        labels, groups = batch["labels"], batch["group"]
        of_batch = constants.levels(labels)
        for kind, rows in kinds.items():
            if len(rows) == 0:
                continue
            if kind not in counts:
                counts[kind] = self._new_constants()
            for name, levels in of_batch.items():
                counts[kind][name].update(levels[rows], labels[rows], groups[rows])


def _rows_of_kinds(present: Tensor) -> dict[Kind, Tensor]:
    """Positions of the items of each kind in a batch, from (B, 2) bool [image, text]; "whole" is always there."""
    if bool(present.all()):  # one look instead of three where there is nothing to tell apart: a GPU waits for each
        return {"whole": torch.arange(len(present), device=present.device)}
    image, text = present.unbind(1)
    masks: dict[Kind, Tensor] = {"whole": image & text, "image only": image & ~text, "text only": text & ~image}
    return {kind: mask.nonzero()[:, 0] for kind, mask in masks.items()}


def _added(counts: Sequence[RankingCounts]) -> RankingCounts:
    """Counts of the items of several databases together."""
    counted = ([field for field in one if field is not None] for one in counts)  # grades in a test only
    return RankingCounts(*(torch.stack(parts).sum(0) for parts in zip(*counted, strict=True)))


def _everywhere(tensor: Tensor) -> list[Tensor]:
    """A tensor as each process has it."""
    gathered: list[Tensor] = gather_all_tensors(tensor) if dist.is_available() and dist.is_initialized() else [tensor]
    return gathered


def _equal_everywhere(tensor: Tensor) -> bool:
    return all(torch.equal(tensor, theirs) for theirs in _everywhere(tensor))


def _anywhere(flags: Tensor) -> Tensor:
    return torch.stack(_everywhere(flags)).any(0)
