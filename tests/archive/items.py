"""Items of an archive made up from a seed, as the rows of its table."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from mcmfh_lightning.archive.schema import CODES, RELAXED, binary_column, item_schema

NUM_BITS = 16


def items(ids: Sequence[str], seed: int = 0, num_bits: int = NUM_BITS) -> pa.Table:
    """Rows for ids: every third lacks its text, every third its image."""
    rng = np.random.default_rng(seed)
    count = len(ids)
    has_image, has_text = np.arange(count) % 3 != 1, np.arange(count) % 3 != 2
    present = {"image": has_image, "text": has_text, "case": np.ones(count, dtype=bool)}
    groups = rng.integers(-5, 1 << 40, count)
    columns: dict[str, object] = {
        "id": pa.array(ids, pa.string()),
        "group": pa.array(groups),
        "group_name": pa.array([f"P-{group}" for group in groups]),
        "split": pa.array(["train", None, "test", "val"] * count, pa.string())[:count],
        "has_image": pa.array(has_image),
        "has_text": pa.array(has_text),
        "labels": pa.array([["normal"], [], ["effusion", "it's"]] * count, pa.list_(pa.string()))[:count],
        "date": pa.array([None, "2012-03-04"] * count, pa.string())[:count],
        "licence": pa.array(["CC0"] * count),
        "source": pa.array(["made up"] * count),
        "text": pa.array(["No effusion.", None, ""] * count, pa.string())[:count],
        "thumbnail": pa.array([None, b"\xff\xd8", b"\0"] * count, pa.binary())[:count],
        "folder": pa.array(["/data/pairs"] * count),
        "shard": pa.array([None, "train-000-00000.tar"] * count, pa.string())[:count],
    }
    for code, relaxed in zip(CODES, RELAXED, strict=True):
        side = present[code.removesuffix("_code")]
        values = rng.uniform(-1, 1, (count, num_bits)).astype(np.float16)
        columns[code] = binary_column(np.packbits(values >= 0, axis=1), side)
        columns[relaxed] = binary_column(values, side)
    schema = item_schema(num_bits)
    return pa.table([columns[name] for name in schema.names], schema=schema)
