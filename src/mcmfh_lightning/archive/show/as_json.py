"""A result as JSON."""

import json
from dataclasses import asdict

from mcmfh_lightning.archive.results import SearchResult
from mcmfh_lightning.archive.show.words import NOTICE


def result_json(result: SearchResult) -> str:
    """All that a result says, under the names of `SearchResult`; times in seconds."""
    content = asdict(result)
    content["timing"]["total"] = result.timing.total
    return json.dumps({"notice": NOTICE, **content}, indent=1, ensure_ascii=False, allow_nan=False)
