"""Options and last step that the converters of published collections share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from mcmfh_lightning.datasets.collection import Collection
from mcmfh_lightning.datasets.convert import convert
from mcmfh_lightning.datasets.label_map import read_label_map
from mcmfh_lightning.datasets.splits import SplitPlan, parse_shares, require_disjoint
from mcmfh_lightning.errors import DataError, say
from mcmfh_lightning.images.png import ValueRange
from mcmfh_lightning.shards import DatasetInfo
from mcmfh_lightning.shards.labels import read_drop_labels

MISSING_IMAGE = "missing image file"

SourceSplit = Literal["upstream", "patient", "article", "date"]
_PLANS: Mapping[SourceSplit, Literal["given", "group", "date"]] = {
    "upstream": "given",
    "patient": "group",
    "article": "group",
    "date": "date",
}


@dataclass(frozen=True, kw_only=True)
class ShardOptions:
    """Options of the shards that a converter writes.

    Args:
        resplit: Per cent of train, val and test of a new split. Default where one is drawn: 80/10/10.
        min_label_count: Items that a label needs to enter the vocabulary.
        drop_labels: File of labels to leave out, one a line.
        label_map: Map of the labels to another vocabulary: chest for the shipped one of the collection, if any,
            or a CSV with the columns raw_label and canonical_label.
        seed: Seed of a split that is drawn and of the order of items in the shards.
        name: Name of the data set in dataset.json. Default: that of the command.
        value_range: Values that become black and white, such as 0 4095, of images that have more than 8 bits and no
            window of their own. Default: by the depth of each image.

    Raises:
        DataError: If resplit does not divide into three.
    """

    resplit: str | None = None
    min_label_count: int = 10
    drop_labels: Path | None = None
    label_map: str | None = None
    seed: int = 0
    name: str | None = None
    value_range: ValueRange | None = None

    def __post_init__(self) -> None:
        if self.resplit is not None:
            parse_shares(self.resplit)

    def choose_split(self, asked: SourceSplit | None, usual: SourceSplit, drawn: SourceSplit) -> SourceSplit:
        """Choose where the splits come from.

        Args:
            asked: What ``--split-by`` says.
            usual: Choice without options.
            drawn: Choice if only ``--resplit`` is given.

        Raises:
            DataError: If a new split is asked for, and upstream's as well.
        """
        if asked == "upstream" and self.resplit is not None:
            raise DataError("--split-by upstream with --resplit: leave out one of them")
        return asked or (usual if self.resplit is None else drawn)

    def write(
        self,
        read: Callable[[], Collection],
        out: Path,
        console: Console,
        *,
        command: str,
        source: str,
        split_by: SourceSplit,
        settings: Mapping[str, Any],
    ) -> DatasetInfo:
        """Write a collection as pair shards.

        Args:
            read: Reads it; called after the files that options name, for it may take minutes.
            out: Folder of the shards.
            console: Where progress and warnings are shown.
            command: Name of the subcommand.
            source: Source of the data set.
            split_by: Where the splits come from.
            settings: What else decides the content of the folder.

        Raises:
            DataError: If an option names a file that cannot be read, upstream's split cuts a group, or reading or
                `convert` raises it.
        """
        drop_labels, label_map = read_drop_labels(self.drop_labels), read_label_map(self.label_map, command)
        collection = read()
        if split_by == "upstream":
            require_disjoint(
                {item.id: item.split for item in collection.candidates if item.split},
                {item.id: item.group_name for item in collection.candidates},
                fix="draw whole groups again with --resplit 80/10/10",
            )
        plan = SplitPlan(_PLANS[split_by], parse_shares(self.resplit or "80/10/10"))
        info = convert(
            collection,
            out,
            name=self.name or command,
            source=source,
            split=plan,
            min_label_count=self.min_label_count,
            drop_labels=drop_labels,
            label_map=label_map,
            seed=self.seed,
            settings={"converter": command, **settings},
            console=console,
            value_range=self.value_range,
        )
        for split in ("train", "test"):
            if split not in info.splits:
                say(f"warning: the split {split} has no item: --resplit 80/10/10 draws a new split", console)
        return info


def require_images(collection: Collection, folder: Path, example: str, option: str) -> None:
    """Refuse a folder that holds none of the images that the tables name.

    Args:
        collection: What was read; all its items have an image.
        folder: The folder.
        example: Path of an image that was looked for, relative to the folder; empty if the tables name none.
        option: Option that names the folder.

    Raises:
        DataError: If no image was found although the tables name some.
    """
    missing = collection.skipped.get(MISSING_IMAGE, [])
    if example and missing and not collection.read["image files found"]:
        raise DataError(
            f"{folder}: holds none of the {len(missing):,} images that the tables name, such as {example}; give the "
            f"folder that holds them by {option}"
        )
