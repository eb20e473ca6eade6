"""Feature shards whose images were moved to other pairs, so that they say nothing about texts and labels."""

import dataclasses
from pathlib import Path

import numpy as np

from mcmfh_lightning.shards import DatasetInfo, FeatureShardReader, FeatureShardWriter, merge_feature_parts


def shuffle_images(features: Path, folder: Path, seed: int) -> Path:
    """Copy feature shards, the images of each split drawn anew for its pairs; texts, labels and groups stay.

    Any image may go to any pair, whatever its labels. Sending images only to pairs that they share no label with would
    not do: such an image says which labels its new text has *not*, and a model learns that.

    Args:
        features: Folder of feature shards.
        folder: Folder to write.
        seed: Seed of the draw.

    Returns:
        The folder written.

    Raises:
        DataError: If the folder holds features already.
    """
    info = DatasetInfo.load(features)
    writer = FeatureShardWriter(folder, rank=0)
    ids = {}
    for number, split in enumerate(info.splits):
        reader = FeatureShardReader(features, split)
        rows = reader.gather(np.arange(len(reader)))
        whole = np.flatnonzero(reader.present.all(axis=1))
        image = rows["image"].copy()
        image[whole] = rows["image"][np.random.default_rng([seed, number]).permutation(whole)]
        ids[split] = reader.ids
        writer.write(
            split,
            reader.ids,
            image,
            rows["text"],
            reader.labels,
            reader.groups,
            reader.text_hashes,
            reader.present,
            reader.group_names,
        )
    writer.close()
    merge_feature_parts(folder, dataclasses.replace(info, splits={}), 1, expected_ids=ids)
    return folder
