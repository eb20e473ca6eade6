"""ROCO's options, and its way into pair shards: one definition for the command and the datamodule."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from rich.console import Console

from mcmfh_lightning.datasets.collection import Collection
from mcmfh_lightning.datasets.convert import convert
from mcmfh_lightning.datasets.roco.metadata import LabelScheme
from mcmfh_lightning.datasets.roco.read import ARTEFACTS, REPOSITORY, SUBSETS, read_roco
from mcmfh_lightning.datasets.splits import SplitPlan, parse_shares, require_disjoint, split_by_date
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.images.png import ValueRange
from mcmfh_lightning.shards import DatasetInfo
from mcmfh_lightning.shards.labels import read_drop_labels

SplitBy = Literal["upstream", "article", "date"]


@dataclass(frozen=True, kw_only=True)
class RocoOptions:
    """What to make of ROCO.

    Args:
        root: folder of the roco-dataset repository, its images fetched.
        subset: radiology, non-radiology, or all for both.
        labels: cuis takes UMLS concepts, semtypes the names of semantic types, which most pairs share.
        min_label_count: pairs that a label needs to enter the vocabulary.
        drop_labels: file of labels to leave out, one a line, in place of the shipped list of CUIs that echo words such
            as arrow; an empty file leaves out none.
        split_by: upstream takes the folders train, validation and test, article draws articles, date cuts in the order
            of PubMed Central's article numbers. Default: upstream, with resplit article.
        resplit: per cent of train, val and test of a new split. Default of article and date: 80/10/10.
        licences: licences to keep, separated by commas, as licences.txt names them. Default: all.
        seed: of the split by article and of the order of pairs in the shards.
        name: name of the data set in dataset.json.
        value_range: values that become black and white, as [0, 4095], of images that have more than 8 bits and no
            window of their own. Default: by the depth of each image.

    Raises:
        DataError: if resplit is no division, or given for upstream's split.
    """

    root: Path
    subset: Literal["radiology", "non-radiology", "all"] = "radiology"
    labels: LabelScheme = "cuis"
    min_label_count: int = 50
    drop_labels: Path | None = None
    split_by: SplitBy | None = None
    resplit: str | None = None
    licences: str | None = None
    seed: int = 0
    name: str = "roco"
    value_range: ValueRange | None = None

    def __post_init__(self) -> None:
        self.plan()

    def plan(self) -> tuple[SplitBy, SplitPlan]:
        """How the articles are split."""
        if self.split_by == "upstream" and self.resplit is not None:
            raise DataError("--split-by upstream with --resplit: leave out one of them")
        by: SplitBy = self.split_by or ("upstream" if self.resplit is None else "article")
        if by == "upstream":
            return by, SplitPlan("given")
        return by, SplitPlan("group" if by == "article" else "given", parse_shares(self.resplit or "80/10/10"))


def convert_roco(options: RocoOptions, out: Path, console: Console) -> DatasetInfo:
    """Write ROCO as pair shards; a folder that the same options finished is left alone.

    Args:
        options: what to make of it.
        out: folder of the shards.
        console: where progress and warnings are shown.

    Raises:
        DataError: as `read_roco` and `convert`, or if the split cuts an article.
    """
    by, plan = options.plan()
    subsets = SUBSETS if options.subset == "all" else (options.subset,)
    licences = None if options.licences is None else [name.strip() for name in options.licences.split(",")]
    collection = read_roco(options.root, subsets, options.labels, licences)
    if by == "upstream":
        _require_whole_articles(collection)
    elif by == "date":
        _split_by_number(collection, plan)
    info = convert(
        collection,
        out,
        name=options.name,
        source=REPOSITORY,
        split=plan,
        min_label_count=options.min_label_count,
        drop_labels=_dropped(options),
        seed=options.seed,
        settings={
            "converter": "roco",
            "subset": options.subset,
            "labels": options.labels,
            "licences": licences,
            "articles_split_by": f"{by} {'/'.join(map(str, plan.shares))}" if by != "upstream" else by,
        },
        console=console,
        value_range=options.value_range,
    )
    for warning in _warnings(info, options):
        console.print(f"warning: {warning}", style="yellow", markup=False, soft_wrap=True)
    return info


def _require_whole_articles(collection: Collection) -> None:
    require_disjoint(
        {candidate.id: str(candidate.split) for candidate in collection.candidates},
        {candidate.id: candidate.group_name for candidate in collection.candidates},
        mend="upstream drew images, not articles: draw articles anew with --resplit 80/10/10",
    )


def _split_by_number(collection: Collection, plan: SplitPlan) -> None:
    """Split in the order of article numbers, which grow with time, without calling them dates."""
    items = Counter(candidate.group for candidate in collection.candidates)
    split_of = split_by_date({article: f"{article:020d}" for article in items}, items, plan.shares)
    collection.candidates = [replace(c, split=split_of[c.group]) for c in collection.candidates]


def _dropped(options: RocoOptions) -> frozenset[str]:
    if options.drop_labels is None:
        return frozenset(artefact.cui for artefact in ARTEFACTS) if options.labels == "cuis" else frozenset()
    return read_drop_labels(options.drop_labels)


def _warnings(info: DatasetInfo, options: RocoOptions) -> list[str]:
    warnings = []
    sharing = info.settings["summary"]["share_probability"]["all"]
    if options.labels == "semtypes":
        warnings.append(
            f"two pairs drawn at random share a semantic type in {sharing:.0%} of all cases: any ranking has that "
            "precision, and a score says little; --labels cuis tells rankings apart"
        )
    if "train" not in info.splits:
        warnings.append("the split train has no pair: draw a new split of what is here with --resplit 80/10/10")
    return warnings
