"""The ``mcmfh-bench`` command: rankings of codes from files, sweeps, and model cards."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from mcmfh_lightning.cli.command_line import Commands, run_subcommand
from mcmfh_lightning.errors import ConfigError, DataError, one_line_errors, say
from mcmfh_lightning.evaluation.codes_files import KEYS, Keys
from mcmfh_lightning.files import atomic_write
from mcmfh_lightning.sweeps.command import sweep


def rank(
    *,
    query: Path | None = None,
    database: Path | None = None,
    query_keys: Keys = KEYS,
    database_keys: Keys = KEYS,
    all_directions: Path | None = None,
    k: list[int] | None = None,
    out: Path | None = None,
    num_bits: int | None = None,
    num_labels: int | None = None,
    label_names: Path | None = None,
    exclude_same_id: bool = False,
    legacy: bool = False,
    protocol: list[Literal["ucmfh", "dscph", "ddbh", "tripah"]] | None = None,
    seed: int = 0,
) -> None:
    """Evaluate codes of any program: rank a database for queries by Hamming distance, ties in closed form.

    Files (.npz, .parquet, .mat, .h5 or .hdf5) hold codes (signs, 0/1 or packed bytes) and labels (0/1 or packed bytes),
    and perhaps groups (patient, study: items of a query's own group are left out) and ids.

    Args:
        query: File of the queries.
        database: File of the database; it may be that of the queries, with other keys.
        query_keys: Names of the arrays of the queries.
        database_keys: Names of the arrays of the database.
        all_directions: Instead of --query and --database, one file as DCHMT and others write it: q_img, q_txt and q_l
            of the queries, r_img, r_txt and r_l of the database. All four directions are reported.
        k: Depth of mAP@k, P@k, R@k, NDCG@k and ACG@k. Default: 50.
        out: Folder for results.json, results.csv, labels.csv and figures, with a folder for each direction where there
            are several; without it nothing is written.
        num_bits: Bits of a code; needed where codes are packed as numpy.packbits does.
        num_labels: Number of labels; needed where label sets are packed, and 1 where there is a single label.
        label_names: Text file with a label a line, in their order; without it labels are called by number.
        exclude_same_id: Leave out the database item of a query's own id.
        legacy: Add what evaluators of published tables report, which depends on the order of the database.
        protocol: Add the number that a paper leads with, by its own rules and with its chance: mAP@50 of UCMFH,
            mAP@5000 of DScPH, mAP@all of DDBH and TriPAH (ucmfh, dscph, ddbh, tripah).
        seed: Seed of the bootstrap intervals, and of the chance of --protocol.
    """
    # Here, not above: help and refused arguments should not wait for torch.
    from mcmfh_lightning.evaluation.rank import print_rankings, read_label_names, read_tasks

    ks = list(dict.fromkeys(k or [50]))
    for name, number in (("--k", min(ks)), ("--num-bits", num_bits), ("--num-labels", num_labels)):
        if number is not None and number < 1:
            raise DataError(f"{name} must be at least 1, got {number}")
    sizes = {"num_bits": num_bits, "num_labels": num_labels}
    tasks = read_tasks(
        query, database, query_keys, database_keys, all_directions, exclude_same_id=exclude_same_id, **sizes
    )
    names = read_label_names(label_names, tasks[0].query.num_labels)
    print_rankings(tasks, out, ks, names, seed, legacy=legacy, protocols=protocol or [])


def card(run: Path, *, out: Path | None = None) -> None:
    """Render the model card of a tested run: encoder, collection, license, and each number next to chance and nulls.

    It names no path of this machine. PairHasher.save_pretrained writes it with the weights.

    Args:
        run: Folder of the run, or its metrics.json.
        out: File to write. Default: the card is printed.
    """
    from mcmfh_lightning.evaluation.card import read_report, render_card

    text = render_card(read_report(run))
    if out is None:
        sys.stdout.write(text)
        return
    with atomic_write(out) as stream:
        stream.write(text.encode())
    say(f"{out}: the model card of {run}")


def report(run: Path, *, out: Path, pictures: bool = False) -> None:
    """Write the report of a tested run as one HTML file: numbers with their nulls, figures, settings, versions.

    The page loads nothing from outside. It shows no picture or text of the collection unless --pictures asks for it.

    Args:
        run: Folder of the run.
        out: File to write.
        pictures: Show five films and five texts with what they find, which `mcmfh test --log-examples true` drew.
    """
    from mcmfh_lightning.evaluation.run_page import run_page

    page = run_page(run, pictures=pictures)
    with atomic_write(out) as stream:
        stream.write(page.encode())
    say(f"{out}: the report of {run}")


COMMANDS: Commands = {"rank": rank, "sweep": sweep, "card": card, "report": report}


def main(args: Sequence[str] | None = None) -> None:
    """Run a subcommand; errors of this package end in one line and exit code 2.

    Args:
        args: The command line after the program's name, by default the process's own.
    """
    if (sys.argv[1:] if args is None else args)[:1] == ["table"]:
        with one_line_errors("mcmfh-bench"):
            raise ConfigError("table is a script of the repository now: python benchmarks/table.py FILE, same options")
    run_subcommand("mcmfh-bench", COMMANDS, args)
