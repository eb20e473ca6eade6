"""Who the patients of the phantom are, what they have, and which split they are in.

From a study to its report, in the words of its split.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from mcmfh_lightning.datasets.phantom.anatomy import Anatomy, Side
from mcmfh_lightning.datasets.phantom.findings import LABELS, Finding
from mcmfh_lightning.datasets.phantom.phrases import WORDINGS, Wording
from mcmfh_lightning.shards.info import Split

_SIDES: tuple[Side, Side] = ("right", "left")
NORMAL_SHARE = 0.16
_MANY = (0.4, 0.36, 0.18, 0.06)  # shares of 1, 2, 3 and 4 findings in a study that has any
_SECOND_FILM = 0.15
_UNMENTIONED = 0.06
_SHARES: tuple[tuple[Split, float], ...] = (("val", 0.10), ("test", 0.15))
_FIRST_DAY = date(2011, 3, 18)


@dataclass(frozen=True)
class PhantomStudy:
    """One patient, examined once.

    Attributes:
        seed: of the whole data set.
        number: of the study, from 1.
        split: where it belongs; decides the wording of its report.
        anatomy: the chest without its findings.
        findings: what it has; at most one of a label.
        mentioned: labels that the report speaks of. Some reports miss a finding, as reports do.
        day: ISO date.
        images: ids of its films.
    """

    seed: int
    number: int
    split: Split
    anatomy: Anatomy
    findings: tuple[Finding, ...]
    mentioned: frozenset[str]
    day: str
    images: tuple[str, ...]


def sample_studies(count: int, seed: int) -> list[PhantomStudy]:
    """Draw ``count`` studies; each depends only on the seed, its number and the count."""
    order = np.random.default_rng([seed, 0]).permutation(count)
    splits: list[Split] = ["train"] * count
    start = 0
    for split, share in _SHARES:
        for index in order[start : start + round(share * count)]:
            splits[index] = split
        start += round(share * count)
    return [sample_study(seed, number, split) for number, split in enumerate(splits, start=1)]


def sample_study(seed: int, number: int, split: Split) -> PhantomStudy:
    """Draw one study."""
    rng = np.random.default_rng([seed, number, 1])
    count = 0 if rng.random() < NORMAL_SHARE else 1 + int(rng.choice(len(_MANY), p=_MANY))
    findings = tuple(_finding(str(label), rng) for label in rng.choice(LABELS, size=count, replace=False))
    film = int(rng.integers(1, 3000))
    views = ("1001", "1002") if rng.random() < _SECOND_FILM else ("1001",)
    return PhantomStudy(
        seed=seed,
        number=number,
        split=split,
        anatomy=_anatomy(rng),
        findings=findings,
        mentioned=frozenset(finding.label for finding in findings if rng.random() >= _UNMENTIONED),
        day=(_FIRST_DAY + timedelta(days=int(rng.integers(365)))).isoformat(),
        images=tuple(f"CXR{number}_IM-{film:04d}-{view}" for view in views),
    )


def _finding(label: str, rng: np.random.Generator) -> Finding:
    return Finding(
        label=label,
        side=_SIDES[int(rng.integers(2))],
        size=float(rng.random()),
        across=float(rng.uniform(0.5, 0.75)),
        down=float(rng.uniform(0.25, 0.85)),
        seed=int(rng.integers(2**31)),
    )


def _anatomy(rng: np.random.Generator) -> Anatomy:
    base = 0.74 + rng.normal(0, 0.018)
    return Anatomy(
        middle=0.5 + float(rng.normal(0, 0.008)),
        apex=0.11 + float(rng.normal(0, 0.012)),
        base=(base - 0.012 + float(rng.normal(0, 0.006)), base + 0.012 + float(rng.normal(0, 0.006))),
        half_width=0.365 + float(rng.normal(0, 0.014)),
        heart=float(rng.uniform(0.4, 0.475)),
        curve=float(rng.normal(0, 0.004)),
        flat=0.0,
        breast=float(rng.uniform(0.07, 0.15)) if rng.random() < 0.45 else 0.0,
        ribs=float(rng.random()),
    )


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
