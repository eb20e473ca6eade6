import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("fuzz_shards.py")
KINDS = ["pairs", "features"]
DAMAGES = {
    "flip",
    "flip_in_content",
    "truncate",
    "swap_contents",
    "swap_members",
    "swap_records",
    "swap_records_under_their_names",
    "swap_shards",
    "duplicate_member",
    "remove_member",
    "remove_record",
    "rewrite_header",
    "zero_block",
    "insert_noise",
}


def fuzz(folder, *options):
    """How each damage ended: read, refused: ..., or wrong: ...; a crash or a hang of the process fails at once."""
    done = subprocess.run([sys.executable, SCRIPT, *options, folder], capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Of both kinds, and those of fewer seeds that are read without checksums."""
    return fuzz(tmp_path_factory.mktemp("fuzz"), "0", "100", "--blind", "60")


def assert_nothing_wrong(results):
    assert [result for result in results if result["end"].startswith("wrong")] == []


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_folders_are_read_rightly_or_refused(results, kind):
    results = [result for result in results if result["kind"] == kind and not result["blind"]]
    assert_nothing_wrong(results)
    shards = [result for result in results if result["shards"]]
    assert (len(results), len(shards)) == (120, 100)
    assert {result["damage"] for result in shards} == DAMAGES
    ends = Counter(result["end"].partition(":")[0] for result in shards)
    assert ends["refused"] > 60
    assert ends["read"] > 15


@pytest.mark.parametrize("kind", KINDS)
def test_without_checksums_wrong_samples_come_through(results, kind):
    """The fuzzer sees what the checksums are there for."""
    assert any(" written was " in result["end"] for result in results if result["kind"] == kind and result["blind"])


@pytest.mark.slow
def test_damaged_folders_of_many_more_seeds(tmp_path):
    assert_nothing_wrong(fuzz(tmp_path, "100", "1100"))
