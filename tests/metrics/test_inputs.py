"""The same codes and labels in every form they may come in."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mcmfh_lightning.metrics import HammingHistogram, HammingInstanceHistogram
from mcmfh_lightning.metrics.functional.packing import as_packed_codes, as_packed_labels

SIGNED = torch.tensor([[1.0, -1.0, 1.0], [-1.0, 1.0, 1.0]])
CODE_FORMS = {
    "float64 signs": lambda bits: bits.double() * 2 - 1,
    "relaxed float16": lambda bits: (bits - 0.5).half(),
    "zero counts as positive": lambda bits: torch.where(
        bits == 1, torch.tensor([0.0, 1.0] * 8)[: bits.shape[1]], -0.25
    ),
    "bool": lambda bits: bits.bool(),
    "int64": lambda bits: bits.long(),
    "int8": lambda bits: bits.to(torch.int8),
    "packed": lambda bits: torch.from_numpy(np.packbits(bits.numpy().astype(bool), axis=1)),
}
LABEL_FORMS = {
    "bool": lambda labels: labels.bool(),
    "int16": lambda labels: labels.to(torch.int16),
    "float32": lambda labels: labels.float(),
    "bfloat16": lambda labels: labels.bfloat16(),
    "multi-hot uint8": lambda labels: labels.to(torch.uint8),
    "packed": lambda labels: torch.from_numpy(np.packbits(labels.numpy().astype(bool), axis=1)),
}


def data(seed, bits=11, queries=5, items=40):
    rng = np.random.default_rng(seed)
    count = queries + items
    return {
        "codes": torch.from_numpy(rng.integers(0, 2, (count, bits))),
        "labels": torch.from_numpy((rng.random((count, 10)) < 0.3).astype(int)),
        "groups": torch.from_numpy(rng.integers(0, 9, count)),
    }


@pytest.mark.parametrize("label_form", LABEL_FORMS)
@pytest.mark.parametrize("code_form", CODE_FORMS)
def test_every_form_counts_the_same(code_form, label_form):
    table = data(seed=1)
    plain = HammingHistogram(11, graded=True)
    plain.set_queries(*(column[:5] for column in table.values()))
    plain.update(*(column[5:] for column in table.values()))
    table["codes"], table["labels"] = CODE_FORMS[code_form](table["codes"]), LABEL_FORMS[label_form](table["labels"])
    other = HammingHistogram(11, graded=True)
    other.set_queries(*(column[:5] for column in table.values()))
    other.update(*(column[5:] for column in table.values()))
    for ours, theirs in zip(plain.compute(), other.compute(), strict=True):
        assert torch.equal(ours, theirs)


@given(st.integers(1, 70), st.integers(0, 99))
def test_packed_as_numpy_packs(bits, seed):
    values = np.random.default_rng(seed).integers(0, 2, (3, bits)).astype(bool)
    expected = np.packbits(values, axis=1)
    np.testing.assert_array_equal(as_packed_codes(torch.from_numpy(values), bits), expected)
    np.testing.assert_array_equal(as_packed_labels(torch.from_numpy(values)), expected)


def test_packed_tensors_are_not_copied():
    packed = torch.zeros(4, 2, dtype=torch.uint8)
    assert as_packed_codes(packed, 16) is packed
    assert as_packed_labels(packed) is packed


def test_a_column_of_bytes_is_packed():
    assert as_packed_codes(torch.tensor([[128], [0]], dtype=torch.uint8), num_bits=1).tolist() == [[128], [0]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: as_packed_codes(SIGNED, 4),
            r"codes of 4 bits must be packed uint8 \(n, 1\).* got torch.float32 \(2, 3\)",
        ),
        (lambda: as_packed_codes(SIGNED[0], 3), "codes of 3 bits must be"),
        (lambda: as_packed_codes(SIGNED.cfloat(), 3), "codes of 3 bits must be"),
        (
            lambda: as_packed_codes(SIGNED.long(), 3),
            "codes of torch.int64 must be zeros and ones: give signs as floating",
        ),
        (lambda: as_packed_codes((SIGNED > 0).float(), 3), "these hold zeros and ones only"),
        (lambda: as_packed_codes(SIGNED / 0 * 0, 3), "codes hold NaN"),
        (lambda: as_packed_codes(torch.tensor([[0b11110001]], dtype=torch.uint8), 4), "bits set beyond bit 4"),
        (lambda: as_packed_labels(torch.tensor([3, 1])), "one_hot makes them of class numbers"),
        (lambda: as_packed_labels(torch.tensor([[0.5, 1.0]])), "labels of torch.float32 must be zeros and ones"),
        (lambda: as_packed_labels(torch.tensor([[3, 200]])), "packed label sets are uint8"),
    ],
)
def test_what_is_neither_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_two_forms_of_labels_are_refused_where_they_differ():
    table = data(seed=2)
    metric = HammingHistogram(11)
    metric.set_queries(table["codes"], table["labels"].to(torch.uint8), table["groups"])
    with pytest.raises(ValueError, match="must have one form: 10 bytes when packed there, 2 here"):
        metric.update(table["codes"], table["labels"], table["groups"])


def test_another_device_is_refused():
    table = data(seed=2, bits=16)
    metric = HammingHistogram(16)
    metric.set_queries(**table)
    elsewhere = {name: column.to("meta") for name, column in table.items()}
    elsewhere["codes"] = torch.zeros(45, 2, dtype=torch.uint8, device="meta")
    elsewhere["labels"] = torch.zeros(45, 2, dtype=torch.uint8, device="meta")
    with pytest.raises(ValueError, match="queries are on cpu, this batch of the database on meta"):
        metric.update(**elsewhere)


def test_instances_take_every_form_of_codes():
    table, index = data(seed=3), torch.arange(45)
    found = []
    for form in CODE_FORMS.values():
        codes, metric = form(table["codes"]), HammingInstanceHistogram(11)
        metric.set_queries(codes, table["groups"], index)
        metric.update(codes, table["groups"], index)
        found.append(metric.compute().total)
    assert all(torch.equal(total, found[0]) for total in found)
