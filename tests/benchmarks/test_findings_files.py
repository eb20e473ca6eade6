"""Findings of benchmarks/: complete, distinct, and as their header says."""

import re
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from mcmfh_lightning.shards import DatasetInfo, PairShardReader

LEAST = 20  # of each kind and collection
OLDER = (
    "The heart is enlarged.",
    "There is a pleural effusion with blunting of the costophrenic angle.",
    "Atelectasis at the lung base.",
    "A calcified granuloma in the lung.",
    "Pulmonary edema with vascular congestion.",
    "Hyperexpanded lungs, consistent with emphysema or chronic obstructive pulmonary disease.",
    "Airspace disease suspicious for pneumonia.",
    "A pulmonary nodule.",
    "Scoliosis of the thoracic spine.",
    "A central venous catheter is in place.",
)


@pytest.fixture(scope="module", params=["openi", "roco"])
def collection(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def read_findings(benchmark_file) -> ModuleType:
    return benchmark_file("findings_systems")


@pytest.fixture
def findings(repository: Path, read_findings: ModuleType, collection: str) -> list:
    found: list = read_findings.read_findings(repository / "benchmarks" / f"findings_{collection}.yaml")
    return found


def stems(text: str) -> set[str]:
    return {word[:5] for word in re.findall(r"[a-z]{4,}", text.lower())}


def test_there_are_enough_of_each_kind_and_no_two_are_the_same(findings) -> None:
    assert len({finding.text.lower().rstrip(".") for finding in findings}) == len(findings)
    kinds = Counter(finding.kind for finding in findings)
    assert kinds.keys() == {"term", "synonym", "negation"}
    assert min(kinds.values()) >= LEAST


def test_a_negation_excludes_labels_that_its_finding_does_not_ask_for(findings) -> None:
    for finding in findings:
        assert finding.labels
        assert bool(finding.without) == (finding.kind == "negation"), finding.text
        assert not finding.labels & finding.without, finding.text
        says_so = re.search(r"\b(without|no|not)\b", finding.text)
        assert bool(says_so) == (finding.kind == "negation"), finding.text


def test_the_older_findings_of_open_i_are_kept(repository: Path, read_findings: ModuleType) -> None:
    path = repository / "benchmarks" / "findings_openi.yaml"
    texts = [finding.text for finding in read_findings.read_findings(path)]
    assert set(OLDER) <= set(texts)
    assert path.read_text().count("  # older\n") == len(OLDER)


def test_a_synonym_has_no_word_of_its_labels(repository: Path, read_findings: ModuleType) -> None:
    for finding in read_findings.read_findings(repository / "benchmarks" / "findings_openi.yaml"):
        if finding.kind == "synonym":
            assert not stems(finding.text) & stems(" ".join(finding.labels)), finding.text


def test_labels_and_shares_are_those_of_the_training_split(repository: Path, findings, collection: str) -> None:
    pairs = repository / "runs" / collection / "pairs"
    if not (pairs / "dataset.json").exists():
        pytest.skip(f"{pairs} is not there: it is made from the collection by hand")
    vocabulary = set(DatasetInfo.load(pairs).label_vocabulary)
    reader = PairShardReader(pairs, "train")
    training = [reader.describe(place).labels for place in range(len(reader))]
    for finding in findings:
        assert finding.labels | finding.without <= vocabulary, finding.text
        relevant = sum(finding.matches(labels) for labels in training)
        with_a = sum(not finding.labels.isdisjoint(labels) for labels in training)
        assert relevant >= 40, finding.text
        if finding.kind == "negation":
            assert relevant / len(training) <= 0.3, finding.text
            assert 1 - relevant / with_a >= 0.08, finding.text
