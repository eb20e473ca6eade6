"""What `verify` looks at: one entry a check, with how serious a finding is and what mends it."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["failed", "warning"]


@dataclass(frozen=True)
class Check:
    """One thing that is looked at.

    Attributes:
        name: What is promised.
        severity: ``failed`` where the folder is not what it says, or a result obtained with it would mislead;
            ``warning`` where it is as the collection is, and one should know.
        mend: What to do about a finding.
    """

    name: str
    severity: Severity
    mend: str


_COPY = "copy the shard again from where the folder comes from, or write the folder again"
_ENCODE = "encode again; if it comes back, check the encoder's weights and precision"

DATASET = Check("dataset.json is sound", "failed", "copy it again together with the shards, or write the folder again")
PRESENT = Check("every shard is there in full", "failed", _COPY)
SHA256 = Check("shards have their SHA-256", "failed", _COPY)
MEMBERS = Check("shards are tars of known, plain members; nothing is pickled", "failed", _COPY)
COUNTS = Check("shards hold as many pairs as listed", "failed", _COPY)
CHECKSUMS = Check("records have their checksums and lie in their place", "failed", _COPY)
PICTURES = Check("pictures decode", "failed", _COPY)
TEXTS = Check("texts are readable and not blank", "failed", _COPY)
DESCRIPTIONS = Check("descriptions are complete", "failed", _COPY)
LABELS = Check("labels are in the vocabulary", "failed", "write the folder again")
IDS = Check("ids are unique", "failed", "rename the items in the collection and write the folder again")
GROUP_NAMES = Check(
    "a group has one name and one number", "failed", "give each group a name of its own, and write the folder again"
)
GROUPS = Check(
    "no group is in two splits",
    "failed",
    "split the collection again by group: pairs of one study or patient were trained on and are tested on",
)
SAME_PICTURES = Check(
    "no picture is in two splits",
    "failed",
    "give pairs with the same picture one group, and split again by group",
)
SAME_TEXTS = Check(
    "no text is in two splits",
    "warning",
    "common in reports of one template: quote the rows `new_text` of the ranking report beside the others",
)
BLOCKS = Check("blocks hold the arrays that dataset.json tells of", "failed", _COPY)
FINITE = Check("embeddings are finite", "failed", _ENCODE)
SAYING = Check("embeddings are not all zero or all one value", "failed", _ENCODE)
ABSENT = Check("what is absent is zero, and no item lacks both", "failed", "encode again")
VARYING = Check(
    "every dimension varies",
    "warning",
    "dead dimensions are harmless if they are few; if all are, the encoder sees nothing of its input",
)
LEFTOVERS = Check(
    "nothing else is in the folder", "warning", "delete what an interrupted run left behind; keep other files elsewhere"
)

FILE_CHECKS = (DATASET, PRESENT, SHA256, MEMBERS, COUNTS, CHECKSUMS)
ACROSS_CHECKS = (LABELS, IDS, GROUP_NAMES, GROUPS, SAME_PICTURES, SAME_TEXTS)
PAIR_CHECKS = (*FILE_CHECKS, PICTURES, TEXTS, DESCRIPTIONS, *ACROSS_CHECKS, LEFTOVERS)
FEATURE_CHECKS = (*FILE_CHECKS, BLOCKS, FINITE, SAYING, ABSENT, VARYING, *ACROSS_CHECKS, LEFTOVERS)
"""In the order of the table."""
