"""The shard format: pairs and features as tars next to a ``dataset.json``."""

from mcmfh_lightning.files import atomic_write, sha256_of, write_json
from mcmfh_lightning.shards.feature_blocks import BLOCK_PAIRS
from mcmfh_lightning.shards.feature_reader import FeatureShardReader
from mcmfh_lightning.shards.feature_writer import FeatureShardWriter, merge_feature_parts
from mcmfh_lightning.shards.info import DATASET_FILE, SPLITS, DatasetInfo, ShardInfo, SplitInfo
from mcmfh_lightning.shards.members import decode_image
from mcmfh_lightning.shards.packing import pack_bits, pack_labels, packed_width, text_hash, unpack_bits
from mcmfh_lightning.shards.pair import Pair
from mcmfh_lightning.shards.pair_reader import PairShardReader
from mcmfh_lightning.shards.pair_writer import PairShardWriter
from mcmfh_lightning.shards.tar import record_key

__all__ = [
    "BLOCK_PAIRS",
    "DATASET_FILE",
    "SPLITS",
    "DatasetInfo",
    "FeatureShardReader",
    "FeatureShardWriter",
    "Pair",
    "PairShardReader",
    "PairShardWriter",
    "ShardInfo",
    "SplitInfo",
    "atomic_write",
    "decode_image",
    "merge_feature_parts",
    "pack_bits",
    "pack_labels",
    "packed_width",
    "record_key",
    "sha256_of",
    "text_hash",
    "unpack_bits",
    "write_json",
]
