"""The kernels count the same integers: the compiled ones as the reference, the reference as a loop over all pairs."""

import multiprocessing
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mcmfh_lightning.metrics.functional import pack_bits
from mcmfh_lightning.metrics.kernels import cpu, dispatch, graded_histogram, hamming_histogram
from mcmfh_lightning.metrics.kernels import reference as own_group
from mcmfh_lightning.metrics.kernels.reference import to_words


def random_case(seed, queries, items, bits, labels, groups, density=0.3, tied=False):
    """Packed arguments; ``tied`` gives all codes the same bits, a density of 0 no labels at all."""
    rng = np.random.default_rng(seed)

    def codes(rows):
        return np.ones((rows, bits), bool) if tied else rng.random((rows, bits)) < 0.5

    return {
        "query_codes": pack_bits(torch.from_numpy(codes(queries))),
        "codes": pack_bits(torch.from_numpy(codes(items))),
        "query_labels": pack_bits(torch.from_numpy(rng.random((queries, labels)) < density)),
        "labels": pack_bits(torch.from_numpy(rng.random((items, labels)) < density)),
        "query_groups": torch.from_numpy(rng.integers(0, groups, queries)),
        "groups": torch.from_numpy(rng.integers(0, groups, items)),
        "num_bits": bits,
    }


def few_labels_case(*, labels, of_row, **sizes):
    """A case with a few labels a row, whatever their number: a kernel that misses a word of them is found out."""
    return random_case(labels=labels, density=min(1.0, of_row / labels), **sizes)


cases = st.builds(
    few_labels_case,
    seed=st.integers(0, 2**32 - 1),
    queries=st.integers(0, 6),
    items=st.integers(0, 40),
    bits=st.one_of(st.integers(1, 40), st.integers(60, 70), st.sampled_from([127, 128, 129, 255, 256, 300])),
    labels=st.one_of(st.integers(1, 12), st.integers(60, 70), st.sampled_from([172, 1024])),
    groups=st.sampled_from([1, 3, 1000]),
    of_row=st.sampled_from([0, 3, 10, 1024]),
    tied=st.booleans(),
)


def assert_equal(case, backend):
    for histogram in (hamming_histogram, graded_histogram):
        expected = histogram(**case, backend="torch")
        for name, ours, theirs in zip(
            ("total", "relevant", "gains", "shared"), histogram(**case, backend=backend), expected, strict=False
        ):
            assert ours.dtype == torch.int64
            assert torch.equal(ours, theirs), name


@settings(max_examples=100, deadline=None)
@given(case=cases, pairs_from=st.sampled_from([0, 1 << 15]))
def test_numba_equals_the_reference(case, pairs_from):
    """Both ways of counting, whatever the number of rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cpu, "_PAIRS_FROM", pairs_from)
        assert_equal(case, "numba")


@pytest.mark.parametrize("items", [1 << 15, (1 << 16) + 1, 70_003])
@pytest.mark.parametrize(
    ("bits", "labels", "tied"), [(16, 64, False), (127, 100, False), (64, 3, True), (256, 9, True)]
)
def test_many_rows(monkeypatch, items, bits, labels, tied):
    """Beyond a block, a table of 16-bit counters and a chunk, with every pair in one bin at worst."""
    monkeypatch.setitem(dispatch._CHUNK_WORDS, "numba", 1 << 18)
    assert_equal(random_case(0, 3, items, bits, labels, 10_000, tied=tied), "numba")


@settings(max_examples=100, deadline=None)
@given(case=cases)
def test_graded_counts_equal_a_loop_over_all_pairs(case):
    total, relevant, gains, shared = graded_histogram(**case, backend="torch")
    bits = {name: np.unpackbits(case[name].numpy(), axis=1) for name in ("query_codes", "codes")}
    sets = {name: np.unpackbits(case[name].numpy(), axis=1) for name in ("query_labels", "labels")}
    for q in range(len(total)):
        expected = np.zeros((3, total.shape[1]), int)
        by_grade = np.zeros(shared.shape[1], int)
        for i in range(len(case["codes"])):
            if case["groups"][i] != case["query_groups"][q]:
                distance = (bits["query_codes"][q] != bits["codes"][i]).sum()
                grade = (sets["query_labels"][q] & sets["labels"][i]).sum()
                expected[:, distance] += (1, int(grade > 0), int(grade))
                by_grade[grade] += 1
        assert [total[q].tolist(), relevant[q].tolist(), gains[q].tolist()] == expected.tolist()
        assert shared[q].tolist() == by_grade.tolist()
    assert shared.shape[1] == 1 + max((int(row.sum()) for row in sets["query_labels"]), default=0)


@settings(max_examples=100, deadline=None)
@given(case=cases, at_once=st.sampled_from([1, 5, 1 << 18]))
def test_pairs_of_a_group_are_found_once(case, at_once):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_group, "PAIRS_AT_ONCE", at_once)
        found = [
            pair
            for queries, items in own_group.own_group_pairs(case["query_groups"], case["groups"])
            for pair in zip(queries.tolist(), items.tolist(), strict=True)
        ]
    same = (case["query_groups"][:, None] == case["groups"][None]).nonzero().tolist()
    assert sorted(found) == sorted(map(tuple, same))


def test_threads_are_those_of_torch():
    """With any number, also more than there are queries, in a part each."""
    case = random_case(1, 5, 2000, 24, 20, 50)
    threads = torch.get_num_threads()
    try:
        for number in (2, 8):
            torch.set_num_threads(number)
            assert_equal(case, "numba")
    finally:
        torch.set_num_threads(threads)


def _in_a_child(case, queue):
    torch.set_num_threads(1)  # as in a worker of a DataLoader: OpenMP, which torch uses, does not survive a fork
    queue.put([counts.tolist() for counts in hamming_histogram(**case, backend="numba")])


def test_a_process_that_forks_can_count_on_both_sides():
    case = random_case(2, 4, 300, 16, 8, 20)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        before = [counts.tolist() for counts in hamming_histogram(**case, backend="numba")]
        context = multiprocessing.get_context("fork")
        queue = context.SimpleQueue()
        child = context.Process(target=_in_a_child, args=(case, queue))
        child.start()
        assert queue.get() == before
        child.join(60)
        assert child.exitcode == 0
        assert [counts.tolist() for counts in hamming_histogram(**case, backend="numba")] == before
    finally:
        torch.set_num_threads(threads)


def test_words_hold_the_bytes():
    packed = torch.randint(0, 256, (5, 11), dtype=torch.uint8)
    words = to_words(packed)
    assert words.shape == (2, 5)
    assert words.is_contiguous()
    again = words.T.contiguous().view(torch.uint8)
    assert torch.equal(again[:, :11], packed)
    assert not again[:, 11:].any()
    assert to_words(packed[:, :0]).shape == (0, 5)
    whole = torch.randint(0, 256, (6, 16), dtype=torch.uint8)
    for rows in (whole, whole[1:], whole.reshape(-1)[8:88].view(5, 16), whole.reshape(-1)[3:83].view(5, 16)):
        assert torch.equal(to_words(rows).T.contiguous().view(torch.uint8), rows)


def test_auto_takes_the_fastest_that_is_installed(monkeypatch):
    here, there = torch.device("cpu"), torch.device("cuda")
    assert dispatch.choose("auto", here, 64, 8) == "numba"
    assert dispatch.choose("auto", there, 64, 8) == "triton"
    assert dispatch.choose("auto", there, 512, 8) == "torch"
    assert dispatch.choose("auto", there, 64, 200) == "torch"
    monkeypatch.setattr(dispatch, "find_spec", lambda name: None)
    assert dispatch.choose("auto", here, 64, 8) == dispatch.choose("auto", there, 64, 8) == "torch"
    for backend in ("numba", "triton"):
        with pytest.raises(ModuleNotFoundError, match=f"needs the package {backend}"):
            dispatch.choose(backend, here, 64, 8)


@pytest.mark.parametrize(
    ("backend", "device", "bits", "message"),
    [
        ("fast", "cpu", 64, "backend is 'fast'; choose one of auto, torch, numba, triton"),
        ("numba", "cuda", 64, "counts on the CPU, the codes are on cuda"),
        ("triton", "cuda", 257, "up to 256 bits and 1024 labels, got 257 bits and 64 labels"),
    ],
)
def test_backends_that_do_not_serve(backend, device, bits, message):
    with pytest.raises(ValueError, match=message):
        dispatch.choose(backend, torch.device(device), bits, 8)


def test_without_numba_nothing_is_imported_of_it(monkeypatch):
    """It is imported when it is first asked for: a machine without it still counts."""
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "mcmfh_lightning.metrics.kernels.cpu", raising=False)
    monkeypatch.setattr(dispatch, "find_spec", lambda name: None)
    case = random_case(3, 2, 10, 8, 4, 5)
    for ours, theirs in zip(hamming_histogram(**case), hamming_histogram(**case, backend="torch"), strict=True):
        assert torch.equal(ours, theirs)
