"""Evaluation of a hasher by ranking databases for queries, in both directions, next to the nulls."""

from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.types import STEP_OUTPUT
from torch import Tensor

from mcmfh_lightning import __version__
from mcmfh_lightning.callbacks.evaluation import EvaluationCallback, Stage, is_dry, log_figure, report_folder
from mcmfh_lightning.errors import CheckpointError, DataError, check_choice
from mcmfh_lightning.evaluation import plots, remarks, report, summary
from mcmfh_lightning.evaluation.headline import UNSEEN, headline_parts, short
from mcmfh_lightning.evaluation.nulls import ConstantRankings
from mcmfh_lightning.evaluation.protocols import (
    CONSTANT,
    MODEL,
    PROTOCOLS,
    EvaluationData,
    ProtocolName,
    normal_position,
)
from mcmfh_lightning.evaluation.remarks import CONSTANT_MONITOR, MONITOR, QUERIES_MONITOR
from mcmfh_lightning.evaluation.statistics import statistics
from mcmfh_lightning.evaluation.stream import NullSettings, Queries, RankingStream, StreamResult
from mcmfh_lightning.evaluation.summary import Row
from mcmfh_lightning.metrics.functional import unpack_bits
from mcmfh_lightning.searches import MEASURED, SEARCHES, SearchName
from mcmfh_lightning.tables import paragraph, show
from mcmfh_lightning.trainer.run_files import describe_unfinished
from mcmfh_lightning.types import Distance, EvaluationOutput, FeatureBatch

_REST = "All numbers: metrics.json, ranking.csv, labels.csv, queries.csv and figures in {}"


class HammingRanking(EvaluationCallback):
    """Evaluation that ranks the databases of the datamodule for its queries, and a report of what comes out.

    The queries are collected first; then every database batch is counted at once and forgotten, on the device of the
    model, and only integer counts are summed over processes. Logged are `MONITOR`, `CONSTANT_MONITOR`,
    `QUERIES_MONITOR` and, as ``val|test/<protocol>/<database>/<queries>/<direction>/<name>``, mAP@all, mAP@k and
    chance. A test also ranks by nulls (chance, the better of two constant rankings, queries shuffled among all and
    within strata, random hyperplanes), adds 95 % intervals by resampling groups, adds graded metrics and, in the
    split of the queries, where each query's own partner comes. It prints the headline, and writes all numbers to
    ``metrics.json``, ``ranking.csv``, ``labels.csv``, ``queries.csv`` and plots in the run's folder (not in a
    ``fast_dev_run``); loggers that show pictures get the plots too. ``trainer.validate`` prints the same headline
    without intervals, in place of Lightning's list of keys.

    A fit that chooses its epoch by `MONITOR` is refused where the labels of the validation split leave it undefined.
    Labels that make most items relevant are reported when a fit begins and with a test. ``metrics.json`` names the
    weights, their checkpoint and the data. Results of other weights or other data that it takes the place of are
    reported with a warning (the command ``mcmfh test`` refuses).

    How often to evaluate is for the trainer to say (``check_val_every_n_epoch``, ``val_check_interval``); a
    ``ModelCheckpoint`` that monitors `MONITOR` keeps the weights that rank validation queries best.

    Args:
        protocols: What codes may see: "unimodal" (always), "asymmetric", "paired".
        searches: Searches that `MONITOR` is the mean over; None for all of `MEASURED` that ``protocols`` has.
        ks: Depths of mAP@k and P@k, and in a test of NDCG@k and ACG@k.
        seed: Seed of the nulls and of the bootstrap.

    Raises:
        ValueError: If a protocol or a search is unknown, "unimodal" or the protocol of a search is missing, there is no
            search, or a depth is less than 1.
    """

    def __init__(
        self,
        protocols: Sequence[ProtocolName] = ("unimodal", "asymmetric", "paired"),
        searches: Sequence[SearchName] | None = None,
        ks: Sequence[int] = (50,),
        seed: int = 0,
    ) -> None:
        for protocol in protocols:
            check_choice("protocols", protocol, ProtocolName)
        if "unimodal" not in protocols:
            raise ValueError(f"protocols must include 'unimodal', which every method has; got {list(protocols)}")
        able = [direction.name for protocol in protocols if protocol != "paired" for direction in PROTOCOLS[protocol]]
        searches = [search for search in MEASURED if search in able] if searches is None else searches
        if not searches:
            raise ValueError(f"searches is empty: name those that {MONITOR} is to be the mean over, such as i2t")
        for search in searches:
            check_choice("searches", search, SearchName)
            if search not in able:
                raise ValueError(
                    f"searches has {search}, which the protocol 'asymmetric' measures; add it to protocols "
                    f"{list(protocols)}, or leave out the searches of cases"
                )
        if any(k < 1 for k in ks):
            raise ValueError(f"every k must be at least 1, got {list(ks)}")
        self.protocols = tuple(dict.fromkeys(protocols))
        self.searches = tuple(dict.fromkeys(searches))
        self.ks = tuple(dict.fromkeys(ks))
        self.seed = seed
        self._stream: RankingStream | None = None
        self._constant: float | None = None
        self._epoch: int | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # a hook
        """Refuse a datamodule that does not say which loader is which.

        Raises:
            DataError: If the trainer has no datamodule with queries and databases.
        """
        if stage != "predict":
            _data(trainer)
        self._constant = self._epoch = None

    def state_dict(self) -> dict[str, Any]:
        """Return what the scores of a run are means over, so that a resumed run compares them with its own."""
        return {"searches": list(self.searches)}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Note the epoch of the weights, for the report.

        Raises:
            CheckpointError: If a run that is resumed chose its epoch by other searches.
        """
        self._epoch = checkpoint.get("epoch")
        theirs = checkpoint.get("callbacks", {}).get(self.state_key, {}).get("searches", self.searches)
        if trainer.state.fn == TrainerFn.FITTING and set(theirs) != set(self.searches):
            raise CheckpointError(
                f"the run of the checkpoint chose its epoch by {', '.join(theirs)}, this one would by "
                f"{', '.join(self.searches)}, whose means cannot be compared: resume it with --searches "
                f"{' '.join(theirs)}, or start a new run"
            )

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the labels of the validation split.

        Raises:
            DataError: If the fit is to choose its epoch by `MONITOR`, which is undefined on this split.
        """
        if is_dry(trainer) or not trainer.enable_validation:
            return
        data = _data(trainer)
        table = data.reader("val")
        known = remarks.preview(table, normal_position(data))
        if known.undefined and _chooses_by_monitor(trainer):
            raise DataError(remarks.undefined_monitor(data, known.undefined))
        broad = remarks.broad_labels(data, table.labels, known.sharing)
        if broad and trainer.is_global_zero:
            show(paragraph(broad))

    def begin(self, trainer: Trainer, pl_module: LightningModule, stage: Stage) -> None:
        """Begin an epoch."""
        self._stream = self._new_stream(trainer, pl_module, stage)

    def add(
        self, trainer: Trainer, outputs: STEP_OUTPUT, batch: FeatureBatch, stage: Stage, dataloader_idx: int
    ) -> None:
        """Take the codes of a batch."""
        if self._stream is not None:
            self._stream.add(dataloader_idx, cast(EvaluationOutput, outputs), batch)

    def finish(self, trainer: Trainer, pl_module: LightningModule, stage: Stage) -> None:
        """Log the numbers, `MONITOR` among them in a validation; print and write the report of a test."""
        if self._stream is None:
            return
        result, self._stream = self._stream.finish(), None
        rows: list[Row] = []
        subsets: dict[str, Tensor] = {}
        if result is not None:
            self._check_monitor(trainer, pl_module, result)
            subsets = _subsets(_data(trainer), result.queries, stage)
            columns = statistics(self.ks, graded=result.graded)
            reports = stage == "test" and trainer.is_global_zero  # the other processes log values without intervals
            rows = summary.summarize(result, subsets, columns, self.seed if reports else None)
        if stage == "validate":
            _log(pl_module, "val", rows)
            self._monitor(trainer, pl_module, rows)
            if result is not None and trainer.state.fn == TrainerFn.VALIDATING:
                self._print_validation(trainer, result, rows)
        elif result is not None:
            _log(pl_module, "test", rows)
            folder = report_folder(trainer)
            if trainer.is_global_zero:
                self._report(folder, trainer, pl_module, result, rows, subsets)

    def _new_stream(self, trainer: Trainer, pl_module: LightningModule, stage: Stage) -> RankingStream:
        data = _data(trainer)
        loaders = data.evaluation_loaders(stage)
        if loaders[0] != "query":
            raise ValueError(f"the first evaluation loader must be 'query', got {loaders}")
        normal = normal_position(data)
        nulls = NullSettings(self.seed, normal) if stage == "test" else None
        constants = None
        if stage == "test" or self._constant is None:
            table = data.reader("train")
            labels = table.labels[table.present.all(1)]  # of the pairs that are trained on
            constants = ConstantRankings(labels, normal, pl_module.device)
        distance: Distance = getattr(pl_module, "distance", "hamming")
        return RankingStream(loaders, self.protocols, nulls, pl_module.device, distance, constants)

    def _check_monitor(self, trainer: Trainer, pl_module: LightningModule, result: StreamResult) -> None:
        """Refuse to choose by searches that the method has no codes for."""
        of_cases = [search for search in self.searches if SEARCHES[search].target == "case"]
        if "asymmetric" in result.missing and of_cases and _chooses_by_monitor(trainer):
            raise DataError(
                f"{MONITOR}, by which the fit chooses its epoch, is the mean over searches that need a code of the "
                f"case, and {type(pl_module).__name__} gives none: leave {', '.join(of_cases)} out of searches"
            )

    def _monitor(self, trainer: Trainer, pl_module: LightningModule, rows: Sequence[Row]) -> None:
        """Log what model selection watches; stop a fit that cannot choose."""
        monitored = remarks.headline_mean(rows, MODEL, self.searches)
        if isnan(monitored) and trainer.state.fn == TrainerFn.FITTING and _chooses_by_monitor(trainer):
            limit = trainer.limit_val_batches
            if not remarks.is_limited(limit):
                raise DataError(remarks.undefined_monitor(_data(trainer), "no query that was seen has a relevant item"))
            if not is_dry(trainer):
                rank_zero_warn(
                    f"{MONITOR} is undefined with limit_val_batches={limit}: no query that was seen has a relevant "
                    "item, so no epoch is chosen by it"
                )
        if self._constant is None:  # it is the same in every epoch: counted in the first one
            self._constant = remarks.headline_mean(rows, CONSTANT, self.searches)
        pl_module.log(MONITOR, monitored, prog_bar=True, sync_dist=True, reduce_fx="max")
        pl_module.log(
            QUERIES_MONITOR, float(remarks.headline_queries(rows, self.searches)), sync_dist=True, reduce_fx="max"
        )
        if not isnan(self._constant):
            pl_module.log(CONSTANT_MONITOR, self._constant, prog_bar=True, sync_dist=True, reduce_fx="max")

    def _print_validation(self, trainer: Trainer, result: StreamResult, rows: Sequence[Row]) -> None:
        """Print the headline in place of Lightning's list of all keys."""
        trainer.validate_loop.verbose = False
        if trainer.is_global_zero:
            value = short(remarks.headline_mean(rows, MODEL, self.searches))
            searches = ", ".join(self.searches)
            notes = [f"{MONITOR} {value}: the mean over {searches}, by which a fit chooses its epoch."]
            files = [Path(one.log_dir, "metrics.csv") for one in trainer.loggers if isinstance(one, CSVLogger)]
            notes += [] if is_dry(trainer) else [f"All numbers: {file}" for file in files]
            show(*headline_parts("Validation", rows, _code(result), notes))

    def _report(
        self,
        folder: Path | None,
        trainer: Trainer,
        pl_module: LightningModule,
        result: StreamResult,
        rows: Sequence[Row],
        subsets: Mapping[str, Tensor],
    ) -> None:
        """Print the report of a test; write it, unless the run is dry."""
        data = _data(trainer)
        left_out = [
            f"{protocol}: left out, {type(pl_module).__name__} gives no {' and '.join(names)}"
            for protocol, names in result.missing.items()
        ]
        left_out += [
            f"{search}: not learned, its weight was 0; its queries have the codes of items"
            for search in getattr(pl_module, "unlearned", ())
        ]
        said = remarks.remarks(
            data, result, remarks.headline_mean(rows, MODEL, self.searches), trainer.limit_test_batches
        )
        said += describe_unfinished(trainer.ckpt_path)
        rest = "" if folder is None else _REST.format(folder)
        show(*headline_parts("Test", rows, _code(result), [*left_out, rest, *said]))
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        entry = remarks.provenance_of(pl_module, trainer.ckpt_path, self._epoch, data)
        path = folder / "metrics.json"
        if remarks.other_results(path, entry):
            rank_zero_warn(f"{path}: the results of other weights or other data that were here are replaced")
        has_codes = result.distance == "hamming"
        content = {
            "package": f"mcmfh-lightning {__version__}",
            **entry,
            "hasher": remarks.architecture_of(pl_module),
            "distance": result.distance,
            "num_bits": result.num_bits if has_codes else None,
            "encoder": data.encoder,
            "protocols": [protocol for protocol in self.protocols if protocol not in result.missing],
            "notes": [*left_out, *said],
            "near_duplicates": result.near_duplicates,
            "seed": pl_module.hparams.get("seed"),
            "evaluation": {
                "seed": self.seed,
                "bootstrap_draws": summary.DRAWS,
                "interval": 0.95,
                "resampled": "groups",
            },
            **report.nested(rows),
        }
        report.write_json(path, content)
        report.write_csv(folder / "ranking.csv", report.RANKING_COLUMNS, map(vars, rows))
        if data.label_vocabulary:
            report.write_labels(folder / "labels.csv", result, data.label_vocabulary)
        queries = data.reader("test")
        report.write_queries(folder / "queries.csv", result, subsets, queries.ids, queries.group_names)
        chosen = remarks.headline(subsets)
        title = f"{chosen} queries, {_code(result)}"
        panels = plots.protocol_panels(result.rankings, subsets[chosen])
        for name, figure in plots.ranking_figures(panels, title):
            log_figure(trainer, folder / name, figure)


def _data(trainer: Trainer) -> EvaluationData:
    datamodule = getattr(trainer, "datamodule", None)  # set by the trainer once it has one
    if not isinstance(datamodule, EvaluationData):
        raise DataError(
            f"HammingRanking needs a datamodule that names its queries and databases, such as FeatureDataModule; "
            f"got {type(datamodule).__name__}"
        )
    return datamodule


def _chooses_by_monitor(trainer: Trainer) -> bool:
    callbacks = trainer.callbacks  # type: ignore[attr-defined]  # set at run time
    return any(getattr(callback, "monitor", None) == MONITOR for callback in callbacks)


def _code(result: StreamResult) -> str:
    """Name the size of what is ranked."""
    return f"{result.num_bits} {'bits' if result.distance == 'hamming' else 'real numbers'}"


def _subsets(data: EvaluationData, queries: Queries, stage: Stage) -> dict[str, Tensor]:
    """Find the query subsets by name, (Q,) bool each."""
    subsets = {"all": torch.ones(len(queries.labels), dtype=torch.bool)}
    position = normal_position(data)
    if position is not None:
        normal = unpack_bits(queries.labels)[:, position].bool()
        subsets |= {"abnormal": ~normal, "normal": normal}
    if stage == "test":
        seen = np.concatenate([data.reader(split).text_hashes for split in ("train", "val")])
        subsets["new_text"] = torch.from_numpy(~np.isin(queries.text_hashes.numpy(), seen))
    return subsets


def _log(pl_module: LightningModule, prefix: str, rows: Sequence[Row]) -> None:
    """Log mean average precisions and chance where defined.

    Not more, and of other databases than the unseen one only those of all and of the headline's queries, since
    Lightning's spawning launchers hang on results of over 64 KiB; the files hold every number. All processes hold equal
    values, so that their maximum is exact.
    """
    values = {}
    everywhere = "all", remarks.headline({row.queries: None for row in rows})
    for row in rows:
        if row.database != UNSEEN and row.queries not in everywhere:
            continue
        if row.system == MODEL and row.metric.startswith("mAP"):
            key = f"{prefix}/{row.protocol}/{row.database}/{row.queries}/{row.direction}"
            values[f"{key}/{row.metric}"] = row.value
            if row.metric == "mAP@all":
                values[f"{key}/chance"] = row.chance
    defined = {key: value for key, value in values.items() if not isnan(value)}
    pl_module.log_dict(defined, sync_dist=True, reduce_fx="max")
