"""From a study to its report, in the words of its split."""

from dataclasses import dataclass

import numpy as np

from mcmfh_lightning.datamodules.phantom.findings import Finding
from mcmfh_lightning.datamodules.phantom.phrases import WORDINGS, Wording
from mcmfh_lightning.datamodules.phantom.study import PhantomStudy

_DENIED = (1, 3)  # findings a report denies: from, below
_SIZES = ("small", "moderate", "large")
_ZONES = ("upper", "mid", "lower")


@dataclass(frozen=True)
class Report:
    """The four sections of an Open-i report."""

    comparison: str
    indication: str
    findings: str
    impression: str


def write_report(study: PhantomStudy) -> Report:
    """Write a report: what is mentioned is stated, some of what is not there is denied, in shuffled order.

    The first findings come again in the impression, in other words. A study of which nothing is mentioned reads as
    normal; its labels still tell the truth.
    """
    rng = np.random.default_rng([study.seed, study.number, 2])
    wording = WORDINGS[study.split]
    stated = [finding for finding in study.findings if finding.label in study.mentioned]
    sentences, impression = [], []
    for rank, finding in enumerate(stated):
        first, second = _pick(wording.present[finding.label], 2, rng)
        sentences.append(_fill(first, finding))
        if rank < 2:
            impression.append(_fill(second, finding))
    sentences += _denials(study, wording, rng) + _pick(wording.anatomy, int(rng.integers(1, 3)), rng)
    rng.shuffle(sentences)
    return Report(
        comparison="None.",
        indication=_pick(wording.indications, 1, rng)[0],
        findings=" ".join(sentences),
        impression=" ".join(impression or _pick(wording.normal, 1, rng)),
    )


def _denials(study: PhantomStudy, wording: Wording, rng: np.random.Generator) -> list[str]:
    present = {finding.label for finding in study.findings}
    deniable = tuple(label for label in wording.absent if label not in present)
    count = min(len(deniable), int(rng.integers(*_DENIED)))
    return [_pick(wording.absent[label], 1, rng)[0] for label in _pick(deniable, count, rng)]


def _pick(options: tuple[str, ...], count: int, rng: np.random.Generator) -> list[str]:
    return [options[int(index)] for index in rng.choice(len(options), size=count, replace=False)]


def _fill(template: str, finding: Finding) -> str:
    sentence = template.format(side=finding.side, size=_size_word(finding), zone=_zone_word(finding))
    return sentence[0].upper() + sentence[1:]


def _size_word(finding: Finding) -> str:
    """Small, moderate or large."""
    return _SIZES[min(2, int(3 * finding.size))]


def _zone_word(finding: Finding) -> str:
    """Upper, mid or lower."""
    return _ZONES[0 if finding.down < 0.42 else 1 if finding.down < 0.65 else 2]
