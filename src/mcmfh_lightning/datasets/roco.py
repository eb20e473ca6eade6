"""ROCO, Radiology Objects in COntext: figures of open-access articles with their captions, to pair shards.

Source: Pelka et al., "Radiology Objects in COntext (ROCO): a multimodal image dataset", LABELS at MICCAI 2018,
https://doi.org/10.1007/978-3-030-01364-6_20. The repository, https://github.com/razorx89/roco-dataset, has the
metadata; its ``scripts/fetch.py`` downloads the images into ``data/<train|validation|test>/<subset>/images``.

Decisions:

- *text* is the caption, white space normalized (upstream's begin with a blank, and some contain tabs).
- *labels* are UMLS concepts (``cuis.txt``) or the names of semantic types (``semtypes.txt``). A program looked up both
  from words of the caption: a label says that the caption has a word, and nothing about what a reader saw. Concepts
  that echo a word of the page, such as arrow, are left out (``roco_artifacts.yaml``).
- *group* is the article, by its number in PubMed Central (``PMC123`` is 123): figures of one article show one patient,
  or look alike.
- *licence* is the article's, as ``licences.txt`` has it; *source* names the article and its file.
- *date* stays empty. PubMed Central numbers articles as they come in, which is an order to split by and not a date.
"""

from collections import Counter
from collections.abc import Collection as Container
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from rich.console import Console

from mcmfh_lightning.datasets.collection import Candidate, Collection, index_images
from mcmfh_lightning.datasets.convert import convert
from mcmfh_lightning.datasets.label_map import read_label_map
from mcmfh_lightning.datasets.roco_metadata import LabelScheme, Part, read_part, typical_words
from mcmfh_lightning.datasets.splits import SplitPlan, parse_shares, require_disjoint, split_by_date
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.images.png import ValueRange
from mcmfh_lightning.shards import DatasetInfo
from mcmfh_lightning.shards.info import Split
from mcmfh_lightning.shards.labels import read_drop_labels
from mcmfh_lightning.tables import listed

Subset = Literal["radiology", "non-radiology"]
SUBSETS: tuple[Subset, ...] = get_args(Subset)
SplitBy = Literal["upstream", "article", "date"]

REPOSITORY = "ROCO (https://github.com/razorx89/roco-dataset)"

_SPLITS: Mapping[str, Split] = {"train": "train", "validation": "val", "test": "test"}


@dataclass(frozen=True, kw_only=True)
class RocoOptions:
    """Options of a conversion of ROCO.

    Args:
        root: Folder of the roco-dataset repository, its images fetched.
        subset: Half of ROCO: radiology, non-radiology, or all for both.
        labels: Kind of labels: cuis takes UMLS concepts, semtypes the names of semantic types, which most pairs share.
        min_label_count: Pairs that a label needs to enter the vocabulary.
        drop_labels: File of labels to leave out, one a line, in place of the shipped list of CUIs that echo words such
            as arrow; an empty file leaves out none.
        label_map: Map of the CUIs to another vocabulary: chest for the shipped one, or a CSV of your own.
        split_by: Source of the splits: upstream takes the folders train, validation and test, article draws articles,
            date cuts in the order of PubMed Central's article numbers. Default: upstream, with resplit article.
        resplit: Per cent of train, val and test of a new split. Default of article and date: 80/10/10.
        licences: Licenses to keep, separated by commas, as licences.txt names them. Default: all.
        seed: Seed of the split by article and of the order of pairs in the shards.
        name: Name of the data set in dataset.json.
        value_range: Values that become black and white, such as 0 4095, of images that have more than 8 bits and no
            window of their own. Default: by the depth of each image.

    Raises:
        DataError: If resplit does not divide into three, or is given for upstream's split.
    """

    root: Path
    subset: Literal["radiology", "non-radiology", "all"] = "radiology"
    labels: LabelScheme = "cuis"
    min_label_count: int = 50
    drop_labels: Path | None = None
    label_map: str | None = None
    split_by: SplitBy | None = None
    resplit: str | None = None
    licences: str | None = None
    seed: int = 0
    name: str = "roco"
    value_range: ValueRange | None = None

    def __post_init__(self) -> None:
        self.plan()

    def plan(self) -> tuple[SplitBy, SplitPlan]:
        """Decide how the articles are split."""
        if self.split_by == "upstream" and self.resplit is not None:
            raise DataError("--split-by upstream with --resplit: leave out one of them")
        by: SplitBy = self.split_by or ("upstream" if self.resplit is None else "article")
        if by == "upstream":
            return by, SplitPlan("given")
        return by, SplitPlan("group" if by == "article" else "given", parse_shares(self.resplit or "80/10/10"))


def convert_roco(options: RocoOptions, out: Path, console: Console) -> DatasetInfo:
    """Write ROCO as pair shards; a folder that the same options finished is left alone.

    Args:
        options: What to make of it.
        out: Folder of the shards.
        console: Where progress and warnings are shown.

    Raises:
        DataError: If `read_roco` or `convert` raises it, or the split cuts an article.
    """
    by, plan = options.plan()
    label_map = read_label_map(options.label_map, "roco")
    subsets = SUBSETS if options.subset == "all" else (options.subset,)
    licences = None if options.licences is None else [name.strip() for name in options.licences.split(",")]
    collection = read_roco(options.root, subsets, options.labels, licences)
    if by == "upstream":
        require_disjoint(
            {candidate.id: str(candidate.split) for candidate in collection.candidates},
            {candidate.id: candidate.group_name for candidate in collection.candidates},
            fix="upstream drew images, not articles: draw articles again with --resplit 80/10/10",
        )
    elif by == "date":
        # Article numbers grow with time, without being dates.
        items = Counter(candidate.group for candidate in collection.candidates)
        split_of = split_by_date({article: f"{article:020d}" for article in items}, items, plan.shares)
        collection.candidates = [replace(c, split=split_of[c.group]) for c in collection.candidates]
    drop_labels = read_drop_labels(options.drop_labels)
    if options.drop_labels is None and options.labels == "cuis":
        drop_labels = frozenset(artifact_list()["artifacts"])
    info = convert(
        collection,
        out,
        name=options.name,
        source=REPOSITORY,
        split=plan,
        min_label_count=options.min_label_count,
        drop_labels=drop_labels,
        label_map=label_map,
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
    warnings = []
    if options.labels == "semtypes":
        sharing = info.settings["summary"]["share_probability"]["all"]
        warnings.append(
            f"two pairs drawn at random share a semantic type in {sharing:.0%} of all cases: any ranking has that "
            "precision, and a score says little; --labels cuis distinguishes rankings"
        )
    if "train" not in info.splits:
        warnings.append("the split train has no pair: draw a new split of what is here with --resplit 80/10/10")
    for warning in warnings:
        console.print(f"warning: {warning}", style="yellow", markup=False, soft_wrap=True)
    return info


@cache
def artifact_list() -> Mapping[str, Any]:
    """Read the CUIs that say nothing about the picture, and the words of the page that they echo."""
    shipped: Mapping[str, Any] = yaml.safe_load((files(__package__) / "roco_artifacts.yaml").read_text("utf-8"))
    return shipped


def read_roco(
    root: Path, subsets: Container[Subset], scheme: LabelScheme, licences: Container[str] | None = None
) -> Collection:
    """Read the metadata and match it with the images that are there.

    Args:
        root: The repository, with its folder ``data``.
        subsets: Which of both halves to read.
        scheme: What the labels are.
        licences: The licenses to keep, as ``licences.txt`` names them; None keeps all.

    Returns:
        The collection, by id; `Candidate.split` is upstream's.

    Raises:
        DataError: If there is no metadata, it cannot be read, an id is in two folders, or a license is on no image.
    """
    collection = Collection()
    parts = _read_parts(root, subsets, scheme, collection)
    known = {licence.name for part in parts.values() for licence in part.licences.values()}
    for name in licences or ():
        if name not in known:
            raise DataError(f"--licences: no image has the licence {name!r}; there are {listed(sorted(known), 40)}")
    image_files: dict[str, Path] = {}
    folder_of: dict[str, str] = {}
    for folder, part in parts.items():
        images = root / "data" / folder / "images"
        here = index_images(images) if images.is_dir() else {}
        image_files |= here
        for roco_id in part.ids():
            if roco_id in folder_of:
                raise DataError(
                    f"{root / 'data'}: {roco_id} is in {folder_of[roco_id]} and in {folder}; restore the metadata from "
                    "the repository"
                )
            folder_of[roco_id] = folder
            reason = part.gap(roco_id) or ("missing image file" if roco_id not in here else None)
            if reason is not None:
                collection.skip(reason, roco_id)
                continue
            licence = part.licences[roco_id]
            if licences is not None and licence.name not in licences:
                collection.skip("licence not asked for", roco_id)
                continue
            candidate = Candidate(
                id=roco_id,
                image=here[roco_id],
                text=part.captions[roco_id] or None,
                labels=part.labels[roco_id],
                group=licence.article,
                group_name=f"PMC{licence.article}",
                source=f"PMC{licence.article} {licence.file}, from {REPOSITORY}",
                licence=licence.name,
                split=_SPLITS[folder.partition("/")[0]],
            )
            collection.candidates.append(candidate)
            if not candidate.labels:
                collection.note(f"without a label: no {'CUI' if scheme == 'cuis' else 'semantic type'}")
    collection.candidates.sort(key=lambda candidate: candidate.id)
    collection.read |= {
        "image files": len(image_files),
        "image files no row names": len(image_files.keys() - folder_of.keys()),
        "pairs found": len(collection.candidates),
        "articles of these pairs": len({candidate.group for candidate in collection.candidates}),
    }
    if scheme == "cuis":
        labels = {roco_id: sets for part in parts.values() for roco_id, sets in part.labels.items()}
        keywords = {roco_id: words for part in parts.values() for roco_id, words in part.keywords.items()}
        collection.gloss = {label: best.word for label, best in typical_words(labels, keywords).items()}
    return collection


def _read_parts(root: Path, subsets: Container[Subset], scheme: LabelScheme, collection: Collection) -> dict[str, Part]:
    """Read the metadata folders that are there, by name such as ``test/radiology``."""
    parts: dict[str, Part] = {}
    absent = []
    for name in (f"{split}/{subset}" for split in _SPLITS for subset in SUBSETS if subset in subsets):
        folder = root / "data" / name
        if folder.is_dir():
            parts[name] = read_part(folder, scheme)
            collection.read[f"rows of {name}"] = len(parts[name].captions)
        else:
            absent.append(name)
            collection.skip("no metadata folder", name)
    if not parts:
        raise DataError(
            f"{root}: has none of the folders {', '.join(absent)} below data/; give the folder of the roco-dataset "
            "repository, with its scripts/fetch.py run"
        )
    return parts
