"""The Triton kernels count what the reference counts: in Triton's interpreter, and on a GPU where there is one."""

import importlib
import sys

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mcmfh_lightning.metrics import kernels
from mcmfh_lightning.metrics.functional import count_ones, pack_bits
from mcmfh_lightning.metrics.kernels import cuda
from mcmfh_lightning.metrics.kernels.reference import graded_histogram_torch, hamming_histogram_torch, to_words

pytest.importorskip("triton", reason="Triton is not installed: its kernels have nothing to run in")

KERNEL = "mcmfh_lightning.metrics.kernels.cuda_kernel"


def forget_kernel():
    """Make the next test import it, and so define it, again."""
    sys.modules.pop(KERNEL, None)
    vars(kernels).pop("cuda_kernel", None)


@pytest.fixture(scope="class")
def interpreted():
    """The kernel as Triton's interpreter runs it, which is decided where a kernel is defined.

    Blocks, runs and launches are made so small that few rows need several of each.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")
        forget_kernel()
        for name, size in {"BLOCK": 8, "RUN": 16, "ROWS_PER_LAUNCH": 32, "QUERIES_PER_LAUNCH": 2}.items():
            patch.setattr(cuda, name, size)
        yield
    forget_kernel()


@pytest.fixture
def compiled(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    forget_kernel()
    return importlib.import_module(KERNEL)


def random_case(seed, queries, items, bits, labels, *, density=0.3, tied=False):
    """Packed codes and label sets of queries and items, and the number of bits."""
    generator = torch.Generator().manual_seed(seed)

    def rows(count, width, share):
        return pack_bits(torch.rand(count, width, generator=generator) < share)

    codes = [rows(count, bits, 1.0 if tied else 0.5) for count in (queries, items)]
    sets = [rows(count, labels, density) for count in (queries, items)]
    return codes[0], codes[1], sets[0], sets[1], bits


def assert_equal(case, device="cpu", *, graded=True):
    *packed, bits = case
    columns = [to_words(rows.to(device)) for rows in packed]
    groups = torch.zeros(len(packed[0])), torch.ones(len(packed[1]))  # the kernels do not look at them
    if graded:
        most = int(count_ones(packed[2]).sum(1, dtype=torch.int64).max()) if packed[2].numel() else 0
        expected = graded_histogram_torch(*packed, *groups, bits, most)
        counts = cuda.graded_histogram_triton(*columns, bits, most)
    else:
        expected = hamming_histogram_torch(*packed, *groups, bits)
        counts = cuda.hamming_histogram_triton(*columns, bits)
    for ours, theirs in zip(counts, expected, strict=True):
        assert ours.dtype == torch.int64
        assert ours.device.type == device
        assert torch.equal(ours.cpu(), theirs)


def few_labels_case(*, labels, of_row, **sizes):
    """A case with a few labels a row, whatever their number: a kernel that misses a word of them is found out."""
    return random_case(labels=labels, density=min(1.0, of_row / max(1, labels)), **sizes)


cases = st.builds(
    few_labels_case,
    seed=st.integers(0, 2**32 - 1),
    queries=st.integers(0, 3),
    items=st.integers(0, 40),
    bits=st.one_of(st.integers(1, 20), st.integers(60, 70), st.sampled_from([127, 128, 255, 256])),
    labels=st.one_of(st.integers(0, 12), st.integers(60, 70), st.sampled_from([172, 1024])),
    of_row=st.sampled_from([0, 3, 10, 1024]),
    tied=st.booleans(),
)
NAMED = {
    "empty database": random_case(0, 2, 0, 16, 8),
    "no queries": random_case(0, 0, 9, 16, 8),
    "one item": random_case(0, 2, 1, 16, 8),
    "all tied": random_case(0, 2, 40, 64, 8, tied=True),
    "bits not a multiple of 8": random_case(0, 2, 40, 13, 5),
    "no query has labels": (*random_case(0, 2, 9, 16, 8)[:2], torch.zeros(2, 1, dtype=torch.uint8),
                            torch.full((9, 1), 255, dtype=torch.uint8), 16),
    "several launches of rows and queries": random_case(0, 3, 45, 32, 20),
    "widest": random_case(0, 1, 9, 256, 1024),
}  # fmt: skip


# What is compiled comes first: older Tritons leave their interpreter's functions in the place of Triton's own.


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU: the interpreter has to do")
@pytest.mark.parametrize("bits", [13, 64, 127, 256])
@pytest.mark.parametrize("labels", [3, 64, 1024])
def test_on_a_gpu(compiled, bits, labels):
    for items in (0, 1, cuda.BLOCK, 3 * cuda.RUN + 5):
        assert_equal(random_case(items, 33, items, bits, labels, density=2 / labels), "cuda")
    assert_equal(random_case(0, 33, 3 * cuda.RUN, bits, labels, tied=True), "cuda")


@pytest.mark.parametrize("what", ["relevant", "bit", "grade"])
def test_compiles_for_an_h100(compiled, monkeypatch, tmp_path, what):
    """Where there is no GPU the interpreter shows what the kernel counts, and this that a GPU would take it."""
    from triton import compile as compile_kernel
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    constants = {"what": what, "code_words": 4, "label_words": 16, "bins": 1024, "run": 8192, "block": 2048}
    constants |= {"ragged": False}
    names = compiled.count_bins.arg_names
    signature = {name: "constexpr" if name in constants else "i32" for name in names}
    signature |= dict.fromkeys(names[:5], "*i64")
    positions = {(names.index(name),): value for name, value in constants.items()}
    source = ASTSource(compiled.count_bins, signature=signature, constexprs=positions)
    made = compile_kernel(source, target=GPUTarget("cuda", 90, 32))
    assert made.asm["cubin"]
    assert "popc.b64" in made.asm["ptx"]  # LLVM found count_ones to be an instruction
    assert "mul.lo.s64" not in made.asm["ptx"]


def test_codes_on_the_cpu_are_refused(compiled):
    words = torch.zeros(1, 2, dtype=torch.int64)
    with pytest.raises(ValueError, match="the codes are on the CPU: choose the backend auto"):
        cuda.hamming_histogram_triton(words, words, words, words, num_bits=8)


def test_without_triton_the_mend_is_named(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "triton"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.setattr(kernels, "cuda", cuda)  # put back at the end
    monkeypatch.delitem(sys.modules, cuda.__name__)
    again = importlib.import_module(cuda.__name__)
    forget_kernel()
    words = torch.zeros(1, 2, dtype=torch.int64)
    with pytest.raises(ModuleNotFoundError, match="pip install triton, or choose the backend torch"):
        again.hamming_histogram_triton(words, words, words, words, num_bits=8)


@pytest.mark.usefixtures("interpreted")
class TestInTheInterpreter:
    @settings(max_examples=40, deadline=None)
    @given(case=cases)
    def test_counts_equal_the_reference(self, case):
        assert_equal(case, graded=False)

    @pytest.mark.slow
    @settings(max_examples=25, deadline=None)
    @given(case=cases)
    @example(case=random_case(0, 1, 9, 16, 1024, density=1.0))  # the number of shared labels takes 11 binary digits
    def test_graded_counts_equal_the_reference(self, case):
        assert_equal(case)

    @pytest.mark.parametrize("case", NAMED.values(), ids=NAMED)
    def test_edges(self, case):
        assert_equal(case, graded=False)
        assert_equal(case)

    def test_complementary_codes_lie_in_the_last_bin(self):
        """At K = 64 it is the first that needs bins beyond a power of two."""
        query, rows = torch.full((1, 1), -1), torch.zeros(1, 3, dtype=torch.int64)
        total, relevant = cuda.hamming_histogram_triton(query, rows, query, rows + 1, num_bits=64)
        assert total.tolist() == relevant.tolist() == [[0] * 64 + [3]]

    def test_columns_need_not_be_contiguous(self):
        words = torch.randint(-(2**60), 2**60, (2, 20))
        columns = words[:, ::4], words[:, ::2], words[:, ::4], words[:, ::2]
        spread = cuda.hamming_histogram_triton(*columns, num_bits=128)
        whole = cuda.hamming_histogram_triton(*(column.clone() for column in columns), num_bits=128)
        assert all(torch.equal(*pair) for pair in zip(spread, whole, strict=True))
