"""Everything that matters on one GPU, in minutes: ``python benchmarks/gpu.py --minutes 8 --out FOLDER``.

See docs/results/benchmarks.md.

    ranking   the Triton kernels next to the reference, integer for integer, and their speed next to two floors
    training  steps of MCMFH, TwoTower and UCMFH, next to their own matrix products
    encoding  images and texts a second of encoders of the usual sizes, next to a large matrix product
    loading   the share of training that waits for data, by workers
    epoch     one epoch on pictures with an image tower that is trained
    tests     the tests of the suite that need a GPU

All data are drawn, weights are random, and nothing is downloaded. Each section has a share of the minutes and a process
of its own. Its rows are appended to ``gpu.csv`` in the folder as they are measured, the most important first; what did
not fit says so, what failed has a row with its error, and the exit code is then 1. Where a goal is missed,
``profiles.txt`` says where the time goes. Without a GPU the command is rehearsed on the CPU at small sizes, whose
numbers say nothing.
"""

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import pandas as pd
from gpu_device import Device
from gpu_sections import FAILED, ROWS, TIME_WAS_UP, Rows, child
from measurements import fill, markdown, options, read

SECTIONS = {
    "ranking": ("gpu_ranking:steps", 0.22),
    "training": ("gpu_training:steps", 0.30),
    "encoding": ("gpu_encoding:steps", 0.15),
    "loading": ("gpu_fit:loading_steps", 0.11),
    "epoch": ("gpu_fit:epoch_steps", 0.08),
    "tests": ("gpu_suite:steps", 0.14),
}
"""Sections by importance: where their steps are, and their share of the time."""
GRACE = 20
"""Seconds that the last step of a section may take beyond its time, before the process is stopped."""


def measure_all(sections: Sequence[str], minutes: float, out: Path, device: Device) -> int:
    """Measure sections one after the other; time that one leaves goes to those that follow.

    Returns:
        The number of sections with errors.
    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    end, failed = time.time() + 60 * minutes - GRACE, 0
    for number, section in enumerate(sections):
        rows = Rows(out, section, started, device=device.name, driver=device.driver)
        steps, share = SECTIONS[section]
        left = end - time.time()
        if left <= 0:
            rows.add(what="all", note=TIME_WAS_UP)
            continue
        limit = left * share / sum(SECTIONS[name][1] for name in sections[number:])
        print(f"{section}: {limit:.0f} s", flush=True)
        arguments = {"section": section, "steps": steps, "until": time.time() + limit, "out": out, "started": started}
        process = get_context("spawn").Process(target=child, args=(arguments,))
        process.start()
        try:
            process.join(limit + GRACE)
        finally:
            stop(process)
        failed += process.exitcode != 0
        if process.exitcode not in {0, FAILED}:
            rows.add(what="all", error=f"its process ended with code {process.exitcode} (negative: it was stopped)")
    return failed


def stop(process: BaseProcess) -> None:
    """End a process that still runs, and what it has started."""
    if process.is_alive() and process.pid is not None:
        with suppress(ProcessLookupError):  # it leads no group yet, and has started nothing
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.join()


def latest(rows: pd.DataFrame) -> pd.DataFrame:
    """Take the rows of the last run that measured a section, for each section."""
    return rows[rows["run"] == rows.groupby("section")["run"].transform("max")]


def tables(rows: pd.DataFrame) -> dict[str, str]:
    """Render a summary, and a table for each section, of the last run that measured it."""
    shown = latest(rows)
    parts = {section: shown[shown["section"] == section] for section in SECTIONS}
    measured = {section: part for section, part in parts.items() if len(part)}
    return {"summary": summary(measured)} | {section: table(part, section) for section, part in measured.items()}


def summary(parts: Mapping[str, pd.DataFrame]) -> str:
    """Count the rows of each section."""
    lines = []
    for section, rows in parts.items():
        numbers, errors = (rows["value"] != "").sum(), (rows["error"] != "").sum()
        lines.append([section, describe(rows), numbers, errors, len(rows) - numbers - errors])
    heads = ["section", "device", "numbers", "errors", "not measured"]
    return markdown(pd.DataFrame(lines, columns=heads), "ll")


def table(rows: pd.DataFrame, section: str) -> str:
    """Render the table of a section: errors and what was not measured stand in the place of a number."""
    head = f"{section}: {describe(rows)}"
    lines = [
        [row["what"], row["setting"], *_cells(row), row["floor_of"], _percent(row["share"]), row["goal"]]
        for _, row in rows.iterrows()
    ]
    heads = [head, "setting", "median (low to high)", "floor", "of", "share", "goal"]
    return markdown(pd.DataFrame(lines, columns=heads), "llrrlrl")


def describe(rows: pd.DataFrame) -> str:
    """Name the device, its driver, torch and the range of clocks."""
    first = rows[rows["device"] != ""].iloc[:1]
    clocks = [float(value) for value in rows["clock_mhz"] if value != ""]
    shown = [f"{name} {value}" for name in ("driver", "torch") for value in first[name] if value != "none"]
    shown += [" to ".join(f"{clock:,.0f}" for clock in sorted({min(clocks), max(clocks)})) + " MHz"] if clocks else []
    return ", ".join([*first["device"], *shown])


def _cells(row: pd.Series) -> list[str]:
    if row["value"] == "":
        return [f"failed: {row['error']}" if row["error"] else row["note"], ""]
    value, low, high = (_number(row[name]) for name in ("value", "low", "high"))
    between = f" ({low} to {high})" if float(row["turns"]) > 1 else ""
    note = f"; {row['note']}" if row["note"] else ""
    return [f"{value} {row['unit']}{between}{note}", "" if row["floor"] == "" else _number(row["floor"])]


def _number(value: object) -> str:
    number = float(str(value))
    return f"{number:,.0f}" if abs(number) >= 100 or number.is_integer() else f"{number:.3g}"


def _percent(value: object) -> str:
    return "" if value == "" else f"{100 * float(str(value)):.3g} %"


def main() -> None:
    """Measure and report.

    Raises:
        SystemExit: If a section has errors.
    """
    parser = options(__doc__, "page")
    parser.add_argument("--minutes", type=float, default=8, help="how long it may take")
    parser.add_argument("--out", type=Path, required=True, help="folder for gpu.csv and profiles.txt")
    parser.add_argument("--sections", nargs="+", choices=list(SECTIONS), default=list(SECTIONS), help="what to measure")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.page:  # refused before minutes pass
        fill(arguments.page.read_text(), "gpu", dict.fromkeys(["summary", *arguments.sections], ""))
    device = Device.find()
    if device.rehearsed:
        os.environ["TRITON_INTERPRET"] = "1"  # for the processes of the sections, before they import Triton
    rehearsal = ": a rehearsal at small sizes" if device.rehearsed else ""
    print(f"{device.name}{rehearsal}, driver {device.driver}", flush=True)
    failed = measure_all(arguments.sections, arguments.minutes, arguments.out, device)
    rendered = tables(read(arguments.out / ROWS))
    for section, lines in rendered.items():
        print(f"\n### {section}\n\n{lines}")
    if arguments.page:
        arguments.page.write_text(fill(arguments.page.read_text(), "gpu", rendered))
    if failed:
        sys.exit(f"{failed} sections have errors: see the column error of {arguments.out / ROWS}")


if __name__ == "__main__":
    main()
