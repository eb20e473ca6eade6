"""Streaming of databases past the queries of an evaluation epoch, for the model and for the nulls alike."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import torch
import torch.distributed as dist
from torch import Tensor
from torchmetrics.utilities.distributed import gather_all_tensors

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.evaluation import near_duplicates
from mcmfh_lightning.evaluation.near_duplicates import NearDuplicates
from mcmfh_lightning.evaluation.nulls import ConstantRankings, RandomHyperplanes, derangement, derangement_within
from mcmfh_lightning.evaluation.protocols import (
    CROSS_MODAL,
    HYPERPLANES,
    INSTANCE_DATABASE,
    INSTANCE_PROTOCOL,
    MODEL,
    PROTOCOLS,
    SHUFFLED,
    SHUFFLED_WITHIN,
    Direction,
    Ranking,
    Side,
    query_code,
)
from mcmfh_lightning.metrics import (
    CosineHistogram,
    HammingHistogram,
    HammingInstanceHistogram,
    LevelHistogram,
    RankingCounts,
)
from mcmfh_lightning.metrics.functional import pack_signs, unpack_bits
from mcmfh_lightning.types import Distance, EvaluationOutput, FeatureBatch

Kind = Literal["whole", "image only", "text only"]
KINDS: tuple[Kind, ...] = get_args(Kind)
KINDS_OF_SIDE: Mapping[Side, tuple[Kind, ...]] = {
    "image": ("whole", "image only"),
    "text": ("whole", "text only"),
    "both": ("whole",),
}
"""Constant rankings are counted once for each kind of item and added up for each side, so that a database of whole
pairs is counted once, not once for each side."""

Codes = dict[tuple[str, str], Tensor]
"""Codes of items by system and name in `EvaluationOutput`."""
QueryCodes = dict[Ranking, Tensor]
"""Codes of queries by the ranking that they are for."""


class Queries(NamedTuple):
    """Queries of a ranking, on the CPU, sorted by index.

    Attributes:
        labels: (Q, ceil(num_labels / 8)) uint8.
        groups: (Q,) int64.
        indices: (Q,) int64, positions in their split.
        text_hashes: (Q,) int64.
    """

    labels: Tensor
    groups: Tensor
    indices: Tensor
    text_hashes: Tensor


class StreamResult(NamedTuple):
    """Everything an epoch counted, equal on all processes.

    Attributes:
        queries: The queries of all counts.
        num_bits: Width of the codes, or of the embeddings.
        distance: What the model ranks by.
        rankings: Counts by database.
        constants: Counts by database, side and name of the constant ranking; these serve every protocol and direction
            of the side.
        instances: Counts by database; the relevant items are partners and items of equal text.
        graded: Whether the labels shared with the query were counted, not only whether there is any.
        missing: Protocols left out, with the codes that the method does not give.
        near_duplicates: What `NearDuplicates` found in the split of the queries; None if it was not looked for.
    """

    queries: Queries
    num_bits: int
    distance: Distance
    rankings: Mapping[str, Mapping[Ranking, RankingCounts]]
    constants: Mapping[str, Mapping[Side, Mapping[str, RankingCounts]]]
    instances: Mapping[str, Mapping[Ranking, RankingCounts]]
    graded: bool
    missing: Mapping[str, list[str]]
    near_duplicates: Mapping[str, float] | None = None


class NullSettings(NamedTuple):
    """Settings of the nulls of a test.

    Attributes:
        seed: Seed of shuffles and hyperplanes.
        normal_label: Position of the normal label, if there is one.
    """

    seed: int
    normal_label: int | None


class RankingStream:
    """Counter of rankings: it collects the queries, then counts each database batch at once and forgets it.

    Args:
        loaders: Names of the evaluation loaders, "query" first.
        protocols: Protocols to evaluate.
        nulls: Settings of the nulls; None leaves out them, grades, instances and near-duplicates, which model selection
            does not need.
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
        self._loaders = loaders
        self._protocols = protocols
        self._nulls = nulls
        self._graded = nulls is not None
        self._device = device
        self._distance = distance
        self._constant_rankings = constants
        self._num_bits = 0
        self._directions: list[tuple[str, Direction]] = []
        self._missing: dict[str, list[str]] = {}
        self._hyperplanes: RandomHyperplanes | None = None
        self._query_batches: list[dict[str, Tensor]] = []
        self._query_codes: list[QueryCodes] = []
        self._query_images: list[Tensor] = []
        self._near_duplicates = None if nulls is None else NearDuplicates().to(device)
        self._queries: dict[str, Tensor] = {}
        self._rankings: dict[str, dict[Ranking, HammingHistogram | CosineHistogram]] = {}
        self._constants: dict[str, dict[Kind, dict[str, LevelHistogram]]] = {}
        self._instances: dict[str, dict[Ranking, HammingInstanceHistogram]] = {}

    def add(self, loader: int, outputs: EvaluationOutput, batch: FeatureBatch) -> None:
        """Take one batch of the queries or of a database.

        Args:
            loader: Position of its loader.
            outputs: Relaxed codes, (B, num_bits) each.
            batch: The batch they are of.

        Raises:
            DataError: If a query lacks its image or its text; a database item may.
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
            DataError: If the processes saw different queries.
        """
        self._start()
        index = self._queries.get("index", torch.zeros(0, dtype=torch.int64, device=self._device))
        if not all(torch.equal(index, theirs) for theirs in _everywhere(index)):
            raise DataError(
                "the processes saw different queries, so their counts do not add up: give every rank all queries in "
                "the same order (with loaders of your own, use_distributed_sampler=False)"
            )
        if not self._query_batches:
            return None
        order = index.argsort()
        labels, groups, indices, text_hashes = (
            self._queries[name][order].cpu() for name in ("labels", "group", "index", "text_hash")
        )
        return StreamResult(
            Queries(labels, groups, indices, text_hashes),
            self._num_bits,
            self._distance,
            {name: {key: metric.compute() for key, metric in row.items()} for name, row in self._rankings.items()},
            {name: self._constants_by_side(name) for name in self._constants},
            {name: {key: metric.compute() for key, metric in row.items()} for name, row in self._instances.items()},
            self._graded,
            self._missing,
            None if self._near_duplicates is None else self._near_duplicates.compute(),
        )

    def _constants_by_side(self, database: str) -> dict[Side, dict[str, RankingCounts]]:
        ours = self._constants[database]
        # All processes have to sum the same counts, and some of them may have met no item of a kind.
        met = torch.tensor([kind in ours for kind in KINDS], device=self._device)
        for kind, somewhere in zip(KINDS, torch.stack(_everywhere(met)).any(0).tolist(), strict=True):
            if somewhere and kind not in ours:
                ours[kind] = self._new_constants()
        counts = {
            kind: {name: metric.compute() for name, metric in ours[kind].items()} for kind in KINDS if kind in ours
        }
        met_of_side = {side: tuple(kind for kind in kinds if kind in counts) for side, kinds in KINDS_OF_SIDE.items()}
        sums = {
            kinds: {name: _added([counts[kind][name] for kind in kinds]) for name in counts["whole"]}
            for kinds in set(met_of_side.values())
        }
        return {side: sums[kinds] for side, kinds in met_of_side.items()}

    def _add_queries(self, outputs: EvaluationOutput, batch: FeatureBatch) -> None:
        if not batch["present"].all():
            lacking = batch["index"][~batch["present"].all(1)]
            raise DataError(
                f"the query with index {int(lacking[0])} lacks its image or its text: query with whole pairs, and keep"
                " the others for the database"
            )
        if not self._query_batches:
            self._begin(outputs, batch)
        # The embeddings are not needed again once they are hashed, but for some images.
        if self._near_duplicates is not None and sum(map(len, self._query_images)) < near_duplicates.MOST:
            self._query_images.append(batch["image"])
        self._query_batches.append({name: batch[name] for name in ("labels", "group", "index", "text_hash")})
        self._query_codes.append(self._codes_of_queries(outputs, batch))

    def _begin(self, outputs: EvaluationOutput, batch: FeatureBatch) -> None:
        """Find out from the first queries what the method gives."""
        self._num_bits = outputs["image"].shape[1]
        for protocol in self._protocols:
            needed = {name for direction in PROTOCOLS[protocol] for name in (direction.query, direction.database)}
            if absent := sorted(needed - outputs.keys()):
                self._missing[protocol] = absent
            else:
                self._directions += [(protocol, direction) for direction in PROTOCOLS[protocol]]
        if self._nulls is not None:
            image, text = batch["image"], batch["text"]
            self._hyperplanes = RandomHyperplanes(
                self._num_bits, image.shape[1], text.shape[1], self._nulls.seed, image.device
            )

    def _codes_of_queries(self, outputs: EvaluationOutput, batch: FeatureBatch) -> QueryCodes:
        kept = pack_signs if self._distance == "hamming" else Tensor.float
        codes = {
            Ranking(MODEL, protocol, direction): kept(query_code(outputs, protocol, direction))
            for protocol, direction in self._directions
        }
        if self._hyperplanes is not None:
            planes = self._hyperplanes.codes(batch)
            codes |= {Ranking(HYPERPLANES, *place): planes[place[1].query] for place in self._directions}
        return codes

    def _codes(self, outputs: EvaluationOutput, batch: FeatureBatch) -> Codes:
        relaxed: Mapping[str, Any] = outputs
        kept = pack_signs if self._distance == "hamming" else Tensor.float
        names = sorted({direction.database for _, direction in self._directions})
        codes: Codes = {(MODEL, name): kept(relaxed[name]) for name in names}
        if self._hyperplanes is not None:
            codes |= {(HYPERPLANES, name): code for name, code in self._hyperplanes.codes(batch).items()}
        return codes

    def _start(self) -> None:
        """Announce the queries, now complete, to the metrics of every database; nothing happens on later calls."""
        if self._rankings or not self._query_batches:
            return
        self._queries = {name: torch.cat([one[name] for one in self._query_batches]) for name in self._query_batches[0]}
        codes = {key: torch.cat([batch[key] for batch in self._query_codes]) for key in self._query_codes[0]}
        self._shuffle(codes)
        if self._near_duplicates is not None:
            self._near_duplicates.set_queries(torch.cat(self._query_images), self._queries["group"])
            self._query_images = []
        for database in self._loaders[1:]:
            self._rankings[database] = {
                ranking: self._new_histogram(ranking.system, code) for ranking, code in codes.items()
            }
            self._constants[database] = {"whole": self._new_constants()}
            if self._graded and database == INSTANCE_DATABASE and self._distance == "hamming":
                self._instances[database] = {
                    ranking: self._new_instances(code)
                    for ranking, code in codes.items()
                    if ranking.protocol == INSTANCE_PROTOCOL and ranking.direction in CROSS_MODAL
                }

    def _shuffle(self, codes: QueryCodes) -> None:
        """Add the codes of shuffled queries: a query takes the place of another one."""
        if self._nulls is None or len(self._queries["index"]) < 2:
            return
        # By rank of index, so that the order of loading does not matter.
        order = self._queries["index"].argsort()
        shuffles = {SHUFFLED: derangement(len(order), self._nulls.seed)}
        if self._nulls.normal_label is not None:
            normal = unpack_bits(self._queries["labels"][order].cpu())[:, self._nulls.normal_label] == 1
            shuffles[SHUFFLED_WITHIN] = derangement_within(normal, self._nulls.seed)
        of_model = {ranking: code for ranking, code in codes.items() if ranking.system == MODEL}
        for system, permutation in shuffles.items():
            taken = torch.empty_like(order)
            taken[order] = order[permutation.to(order.device)]
            codes |= {ranking._replace(system=system): code[taken] for ranking, code in of_model.items()}

    def _new_histogram(self, system: str, codes: Tensor) -> HammingHistogram | CosineHistogram:
        """Make empty counts of a ranking by distance: of codes, or of a model's embeddings."""
        known = self._queries["labels"], self._queries["group"], self._queries["index"]
        if self._distance == "cosine" and system != HYPERPLANES:
            cosine = CosineHistogram(graded=self._graded)
            cosine.set_embedded_queries(codes, *known)
            return cosine
        hamming = HammingHistogram(self._num_bits, graded=self._graded)
        hamming.set_queries(codes, *known)
        return hamming

    def _new_instances(self, codes: Tensor) -> HammingInstanceHistogram:
        """Make empty counts of where each query's own partner comes."""
        histogram = HammingInstanceHistogram(self._num_bits)
        queries = self._queries
        histogram.set_queries(codes, queries["group"], queries["index"], content=queries["text_hash"])
        return histogram

    def _new_constants(self) -> dict[str, LevelHistogram]:
        """Make empty counts of every constant ranking, by name."""
        constants = {}
        if self._constant_rankings is not None:
            for name, num_levels in self._constant_rankings.num_levels.items():
                constants[name] = LevelHistogram(num_levels, graded=self._graded)
                constants[name].set_queries(self._queries["labels"], self._queries["group"], self._queries["index"])
        return constants

    def _count(self, database: str, outputs: EvaluationOutput, batch: FeatureBatch) -> None:
        labels, groups = batch["labels"], batch["group"]
        kinds = _rows_of_kinds(batch["present"])
        rows = {
            side: torch.cat([kinds[kind] for kind in of_side if kind in kinds])
            for side, of_side in KINDS_OF_SIDE.items()
        }
        codes = self._codes(outputs, batch)
        if self._near_duplicates is not None and database == INSTANCE_DATABASE:
            self._near_duplicates.update(batch["image"][rows["image"]], groups[rows["image"]])

        def of(ranking: Ranking) -> tuple[Tensor, Tensor]:
            """Find positions and codes of the items that the ranking has."""
            able = rows[ranking.direction.side]
            system = MODEL if ranking.system in (SHUFFLED, SHUFFLED_WITHIN) else ranking.system
            return able, codes[system, ranking.direction.database][able]

        for ranking, histogram in self._rankings[database].items():
            able, code = of(ranking)
            update = histogram.update_embedded if isinstance(histogram, CosineHistogram) else histogram.update
            update(code, labels[able], groups[able])
        for ranking, instance in self._instances.get(database, {}).items():
            able, code = of(ranking)
            instance.update(code, groups[able], batch["index"][able], content=batch["text_hash"][able])
        if self._constant_rankings is not None:
            levels = self._constant_rankings.levels(labels)
            counts = self._constants[database]
            for kind, able in kinds.items():
                if len(able) == 0:
                    continue
                if kind not in counts:
                    counts[kind] = self._new_constants()
                for name, constant in counts[kind].items():
                    constant.update(levels[name][able], labels[able], groups[able])


def _rows_of_kinds(present: Tensor) -> dict[Kind, Tensor]:
    """Find the positions of the items of each kind in a batch, from (B, 2) bool [image, text]; "whole" always."""
    if bool(present.all()):  # one look instead of three where there is nothing to tell apart: a GPU waits for each
        return {"whole": torch.arange(len(present), device=present.device)}
    image, text = present.unbind(1)
    masks: dict[Kind, Tensor] = {"whole": image & text, "image only": image & ~text, "text only": text & ~image}
    return {kind: mask.nonzero()[:, 0] for kind, mask in masks.items()}


def _added(counts: Sequence[RankingCounts]) -> RankingCounts:
    """Add up the counts of several databases."""
    if len(counts) == 1:
        return counts[0]
    counted = ([field for field in one if field is not None] for one in counts)  # grades in a test only
    return RankingCounts(*(torch.stack(parts).sum(0) for parts in zip(*counted, strict=True)))


def _everywhere(tensor: Tensor) -> list[Tensor]:
    """Gather a tensor as each process has it."""
    gathered: list[Tensor] = gather_all_tensors(tensor) if dist.is_available() and dist.is_initialized() else [tensor]
    return gathered
