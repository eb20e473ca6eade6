"""A monitor of whether the codes use the bits they have: balance, correlation and collapse."""

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any, cast

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.types import STEP_OUTPUT
from matplotlib.figure import Figure
from torch import Tensor

from mcmfh_lightning.callbacks.checkpoints import read_chosen
from mcmfh_lightning.callbacks.evaluation import EvaluationCallback, Stage, is_query_loader, log_figure, report_folder
from mcmfh_lightning.metrics.functional import BitStatistics, bit_statistics, pack_signs
from mcmfh_lightning.searches import SEARCHES
from mcmfh_lightning.types import EvaluationOutput, FeatureBatch

FEWEST = 20
"""Queries from which on the alarm means something: a fair bit is the same for 20 queries once in 500,000."""
LARGEST_SHARE = 0.5
"""More queries than this with one and the same code are a collapse: one label, such as "normal", may rightly gather
many in one code, but with most of them there a ranking says little."""
_CHANGE_FIT = "Lower the learning rate or raise the weight of bit balance"
_CHECK_INPUTS = "Check the collection and how it was encoded: no model can tell them apart"
_ROUNDING = 2.0**-9
"""Equal embeddings may differ by this share: shards hold half precision."""
_PLOT_NAME = "code_statistics.png"
_QUERY_OF: Mapping[str, str] = {name: search.query for name, search in SEARCHES.items()}
"""Modality of the queries of each search."""


class CodeMonitor(EvaluationCallback):
    """Monitor of how balanced, correlated and different the codes of the queries are; it warns when they collapse.

    Looked at are the codes of the image alone and of the text alone, of the queries of each validation and test, and
    where a method has other codes for the queries of each search, also these. Every process encodes all queries, so
    each has the same numbers whatever their number. Logged are, as ``val|test/bits/<image|text|search>/<name>``:

    - ``balance``: mean over bits of |mean of the bit|, 0 if balanced, 1 if all are constant;
    - ``correlation``: mean over pairs of bits of |Pearson correlation|, constant bits left out;
    - ``distinct``: different codes, as a share of the queries;
    - ``largest``: queries with the most frequent code, as a share of all;
    - ``constant``: number of bits that are the same for all queries;
    - ``collapsed``: 1 if a bit is constant or ``largest`` is above `LARGEST_SHARE`, else 0 (and with less than `FEWEST`
      queries). Of a search, only the latter counts: its queries need not use a bit that those of other searches do.

    A warning says what has collapsed: in a test or a validation of finished weights at once, in a fit at its end, for
    the weights that it has chosen (the last ones if it has chosen none). A model that has hardly begun to learn may
    well have constant bits, which says nothing. Where all queries have one and the same embedding, no weights can tell
    them apart: the warning says this instead, and in a fit after the first validation already.

    A fit (the last validation) and a test end with a figure of the images and texts, ``code_statistics.png``, in the
    run's folder. Does nothing for a method without codes.
    """

    def __init__(self) -> None:
        self._codes: dict[str, list[Tensor]] | None = None
        self._inputs: dict[str, list[Tensor]] = {}
        self._num_bits = 0
        self._latest: dict[str, BitStatistics] = {}
        self._collapsed: dict[str, str] = {}
        self._step = -1

    def state_dict(self) -> dict[str, Any]:
        """Return what has collapsed, so that a checkpoint says it of its own weights."""
        return {"global_step": self._step, "collapsed": dict(self._collapsed)}

    def begin(self, trainer: Trainer, pl_module: LightningModule, stage: Stage) -> None:
        """Begin an epoch."""
        has_codes = getattr(pl_module, "distance", "hamming") == "hamming"
        self._codes = {} if has_codes else None
        self._inputs = {"image": [], "text": []}

    def add(
        self, trainer: Trainer, outputs: STEP_OUTPUT, batch: FeatureBatch, stage: Stage, dataloader_idx: int
    ) -> None:
        """Take the codes of a batch of queries."""
        if self._codes is None or not is_query_loader(trainer, stage, dataloader_idx):
            return
        relaxed = cast(EvaluationOutput, outputs)
        self._num_bits = relaxed["image"].shape[1]
        of_searches = relaxed.get("queries", {}).items()
        for key, code in (("image", relaxed["image"]), ("text", relaxed["text"]), *of_searches):
            self._codes.setdefault(key, []).append(pack_signs(code))
        for name, kept in self._inputs.items():
            rows = batch[name].float()  # type: ignore[literal-required]  # image or text
            kept += [rows.amin(dim=0), rows.amax(dim=0)] if len(rows) else []

    def finish(self, trainer: Trainer, pl_module: LightningModule, stage: Stage) -> None:
        """Log; warn of what has collapsed, unless the weights may yet change; draw a test."""
        self._collapsed, self._step = {}, trainer.global_step
        self._log(pl_module, "val" if stage == "validate" else "test")
        if trainer.state.fn != TrainerFn.FITTING:
            _warn(self._collapsed)
        else:
            _warn({name: what for name, what in self._collapsed.items() if what.endswith(_CHECK_INPUTS)})
        if stage == "test":
            self._draw(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Warn of what has collapsed in the chosen weights; draw the last validation."""
        if trainer.is_global_zero:
            _warn(self._collapsed_in_chosen(trainer))
        self._draw(trainer)

    def _collapsed_in_chosen(self, trainer: Trainer) -> Mapping[str, str]:
        chosen = read_chosen(trainer)
        noted = chosen["callbacks"].get(self.state_key, {}) if "callbacks" in chosen else self.state_dict()
        # Weights that were kept between validations were not looked at.
        return noted["collapsed"] if noted.get("global_step") == chosen.get("global_step", trainer.global_step) else {}

    def _log(self, pl_module: LightningModule, prefix: str) -> None:
        codes, self._codes = self._codes, None
        if not codes:
            return
        self._latest = {name: bit_statistics(torch.cat(parts).cpu(), self._num_bits) for name, parts in codes.items()}
        num_queries = sum(map(len, codes["image"]))
        values: dict[str, float] = {}
        for name, statistics in self._latest.items():
            if collapse := describe_collapse(statistics, num_queries, dead_bits=name not in _QUERY_OF):
                side = _QUERY_OF.get(name, name)
                alike = f"all {num_queries} queries have one and the same {side} embedding. {_CHECK_INPUTS}"
                self._collapsed[name] = alike if _are_alike(self._inputs[side]) else f"{collapse}. {_CHANGE_FIT}"
            numbers = {
                "balance": statistics.balance,
                "correlation": statistics.correlation,
                "distinct": statistics.distinct / num_queries,
                "largest": statistics.largest / num_queries,
                "constant": float(len(statistics.constant)),
                "collapsed": float(bool(collapse)),
            }
            values |= {f"{prefix}/bits/{name}/{key}": value for key, value in numbers.items() if not isnan(value)}
        # Equal on all processes, so that their maximum is exact.
        pl_module.log_dict(values, sync_dist=True, reduce_fx="max")

    def _draw(self, trainer: Trainer) -> None:
        latest = {name: one for name, one in self._latest.items() if name not in _QUERY_OF}
        self._latest = {}
        if latest and (folder := report_folder(trainer)):
            log_figure(trainer, folder / _PLOT_NAME, _figure(latest))


def describe_collapse(statistics: BitStatistics, num_items: int, *, dead_bits: bool = True) -> str:
    """Describe in words what has collapsed; empty if nothing has or there are less than `FEWEST` items.

    Args:
        statistics: Statistics of the codes.
        num_items: Number of them.
        dead_bits: Whether a bit that is the same for all is a collapse.
    """
    if num_items < FEWEST:
        return ""
    found = []
    if dead_bits and (constant := statistics.constant):
        positions = ", ".join(map(str, constant))
        found.append(
            f"{len(constant)} of {len(statistics.means)} bits are the same for all {num_items} queries ({positions})"
        )
    if statistics.largest > LARGEST_SHARE * num_items:
        found.append(f"{statistics.largest} of {num_items} queries have one and the same code")
    return " and ".join(found)


def _are_alike(extremes: Sequence[Tensor]) -> bool:
    """Decide from the least and the largest values of each batch whether all embeddings are the same."""
    values = torch.stack(list(extremes))
    least, largest = values.amin(dim=0), values.amax(dim=0)
    return bool((largest - least).max() <= _ROUNDING * values.abs().max())


def _warn(collapsed: Mapping[str, str]) -> None:
    for name, what in collapsed.items():
        rank_zero_warn(f"the {name} codes have collapsed: {what}")


def _figure(by_modality: Mapping[str, BitStatistics]) -> Figure:
    """Draw a row each modality: the mean of each bit, and the correlation of each two."""
    height = 3.5 * len(by_modality)
    figure = Figure(figsize=(10, height), dpi=120)
    # Fixed margins in inches: a layout that is searched for draws everything a second time.
    figure.subplots_adjust(left=0.08, right=0.97, bottom=0.6 / height, top=1 - 0.4 / height, hspace=0.35, wspace=0.18)
    for (name, statistics), (means, pairs) in zip(
        by_modality.items(), figure.subplots(len(by_modality), 2, squeeze=False), strict=True
    ):
        means.bar(range(len(statistics.means)), statistics.means.tolist())
        means.axhline(0.0, color="black", linewidth=0.8)
        means.set_title(f"{name} codes, balance {statistics.balance:.3f}", y=1.0)
        means.set(xlabel="bit", ylabel="mean of -1 and +1")
        means.set_ylim(-1.05, 1.05)
        shown = pairs.imshow(statistics.correlations.numpy(), vmin=-1.0, vmax=1.0, cmap="coolwarm")
        pairs.set_title(f"{name} codes, |correlation| {statistics.correlation:.3f}", y=1.0)
        pairs.set(xlabel="bit", ylabel="bit")
        figure.colorbar(shown, ax=pairs, label="correlation")
    return figure
