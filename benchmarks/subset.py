"""Draw a small collection: ``python benchmarks/subset.py --features FOLDER --pairs 300 --out FOLDER``.

The training split is cut to a number of pairs, whole groups in a random order; validation and test stay as they are.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcmfh_lightning.errors import DataError, one_line_errors, say
from mcmfh_lightning.shards import SPLITS, DatasetInfo, FeatureShardReader, FeatureShardWriter, merge_feature_parts
from mcmfh_lightning.shards.folder import ShardFolder


def draw(groups: NDArray[np.int64], pairs: int, seed: int) -> NDArray[np.int64]:
    """Draw rows of whole groups; the last group is cut to the number that is asked for.

    Args:
        groups: (N,) int64 group of each row.
        pairs: Number of rows.
        seed: Seed of the order of groups.

    Returns:
        (pairs,) int64, ascending.
    """
    _, number = np.unique(groups, return_inverse=True)
    place = np.random.default_rng(seed).permutation(number.max() + 1)[number]
    return np.sort(np.argsort(place, kind="stable")[:pairs])


def subset(features: Path, pairs: int, seed: int, out: Path) -> None:
    """Write the features of a collection with fewer training pairs.

    Raises:
        DataError: If the collection has fewer, or the folder is not empty.
    """
    info, folder = DatasetInfo.load(features), ShardFolder(str(features), None)
    if not 0 < pairs <= info.split("train").pairs:
        raise DataError(f"--pairs is {pairs}: {features} has {info.split('train').pairs} training pairs")
    writer, ids = FeatureShardWriter(out, rank=0), {}
    for split in SPLITS:
        reader = FeatureShardReader(folder, (split,), info)
        rows = draw(reader.groups, pairs, seed) if split == "train" else np.arange(len(reader))
        columns = reader.gather(rows)
        ids[split] = [reader.ids[row] for row in rows]
        names = [reader.group_names[row] for row in rows]
        labels, groups, hashes = reader.labels[rows], reader.groups[rows], reader.text_hashes[rows]
        embeddings = columns["image"], columns["text"]
        writer.write(split, ids[split], *embeddings, labels, groups, hashes, reader.present[rows], names)
    writer.close()
    merge_feature_parts(out, replace(info, name=f"{info.name}-{pairs}", splits={}), 1, expected_ids=ids)
    say(f"{out}: {pairs} of {info.split('train').pairs} training pairs")


def main(args: Sequence[str] | None = None) -> None:
    """Run the command; errors of the package end in one line and exit code 2."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--features", type=Path, required=True, help="folder of features, such as runs/openi/features")
    parser.add_argument("--pairs", type=int, required=True, help="training pairs to keep")
    parser.add_argument("--seed", type=int, default=0, help="seed of the drawing")
    parser.add_argument("--out", type=Path, required=True, help="folder of the small collection")
    with one_line_errors("subset.py"):
        given = parser.parse_args(args)
        subset(given.features, given.pairs, given.seed, given.out)


if __name__ == "__main__":
    main(sys.argv[1:])
