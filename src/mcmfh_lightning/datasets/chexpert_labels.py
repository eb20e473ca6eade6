"""The 14 observations of the CheXpert labeler, as MIMIC-CXR-JPG and CheXpert Plus store them.

A value is 1 (mentioned as present), 0 (mentioned as absent), -1 (uncertain) or nothing (not mentioned). Only what is
present becomes a label. ``No Finding`` is what the labeler writes where it found none of the others but support
devices; it is the normal label.
"""

from collections import Counter

from mcmfh_lightning.datasets.collection import Collection
from mcmfh_lightning.datasets.source_tables import Record
from mcmfh_lightning.datasets.table.labels import LabelRules
from mcmfh_lightning.shards.labels import NORMAL

NO_FINDING = "No Finding"
OBSERVATIONS = (
    *("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum", "Fracture"),
    *("Lung Lesion", "Lung Opacity", NO_FINDING, "Pleural Effusion", "Pleural Other", "Pneumonia", "Pneumothorax"),
    "Support Devices",
)


class ObservationLabels:
    """Labels of items from the rows of a labeler.

    Args:
        collection: Its account is continued.
        uncertain_is_present: Whether -1 counts as present.
    """

    def __init__(self, collection: Collection, *, uncertain_is_present: bool) -> None:
        self._collection = collection
        self._rules = LabelRules(findings=frozenset(OBSERVATIONS), uncertain=uncertain_is_present)

    def read(self, record: Record | None, absent: str) -> tuple[str, ...]:
        """Read the labels of an item.

        Args:
            record: The labeler's row, or None.
            absent: Why there is no row, for the account.

        Raises:
            DataError: If a value is not 1, 0, -1 or nothing.
        """
        if record is None:
            self._collection.note(f"without a label: {absent}")
            return ()
        notes: Counter[str] = Counter()
        with record.reading("labels"):
            labels = self._rules.read({name: record.values[name] for name in OBSERVATIONS}, lambda n: notes.update([n]))
        for note in notes:
            self._collection.note(f"item with {note}")
        if not labels:
            self._collection.note("without a label: nothing is marked as present")
        return labels

    def finish(self) -> None:
        """Name the normal label of the collection, if an item has it."""
        has_normal = any(NO_FINDING in item.labels for item in self._collection.candidates)
        self._collection.normal_label = NO_FINDING if has_normal else NORMAL
