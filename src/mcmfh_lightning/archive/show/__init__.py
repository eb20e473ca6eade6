"""What a search found, for people and for programs."""

from mcmfh_lightning.archive.show.as_json import result_json
from mcmfh_lightning.archive.show.page import result_page
from mcmfh_lightning.archive.show.table import result_table

__all__ = ["result_json", "result_page", "result_table"]
