"""The shard format: pairs and features as tars next to a ``dataset.json``."""

from mcmfh_lightning.shards.feature_reader import FeatureShardReader
from mcmfh_lightning.shards.feature_writer import FeatureShardWriter, merge_feature_parts
from mcmfh_lightning.shards.info import DATASET_FILE, SPLITS, DatasetInfo
from mcmfh_lightning.shards.members import decode_image
from mcmfh_lightning.shards.packing import pack_labels, packed_width, text_hash, unpack_bits
from mcmfh_lightning.shards.pair import Pair
from mcmfh_lightning.shards.pair_reader import PairShardReader
from mcmfh_lightning.shards.pair_writer import PairShardWriter

__all__ = [
    "DATASET_FILE",
    "SPLITS",
    "DatasetInfo",
    "FeatureShardReader",
    "FeatureShardWriter",
    "Pair",
    "PairShardReader",
    "PairShardWriter",
    "decode_image",
    "merge_feature_parts",
    "pack_labels",
    "packed_width",
    "text_hash",
    "unpack_bits",
]
