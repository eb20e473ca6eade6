"""What the help of each program says besides the docstrings of its commands."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ProgramPage:
    """Summary, examples and main options of a program.

    Args:
        summary: What the program is for.
        examples: Command lines that can be typed; those of a command are shown on its page too.
        main_options: Names of the options that most people need, by command; the page of another command shows all.
    """

    summary: str = ""
    examples: tuple[str, ...] = ()
    main_options: Mapping[str, str] = field(default_factory=dict)


PAGES: Mapping[str, ProgramPage] = {
    "mcmfh-data": ProgramPage(
        summary="Make and inspect data: pair shards, of images and texts, and feature shards, of encoded pairs.",
        examples=(
            "mcmfh-data manifest --manifest pairs.csv --images films --out data/pairs",
            "mcmfh-data openi --out data/openi",
            "mcmfh-data phantom --out data/phantom --studies 200",
            "mcmfh-data roco --root roco-dataset --out data/roco",
            "mcmfh-data verify data/pairs",
            "mcmfh-data stats data/pairs --out report",
        ),
        main_options={
            "manifest": "manifest images out id-column image-column text-column labels-column label-columns "
            "group-column date-column split-column label-separator normal-label split-by resplit seed "
            "min-label-count skip-bad-rows",
        },
    ),
    "mcmfh-bench": ProgramPage(
        summary="Evaluate codes of any program, and run sweeps.",
        examples=(
            "mcmfh-bench rank --query codes.npz --database codes.npz --k 10 --k 50 --out report",
            "mcmfh-bench sweep sweeps/experts_bits.yaml --jobs 2",
        ),
    ),
    "mcmfh-archive": ProgramPage(
        summary="Build, change, search and serve an archive of encoded images and texts.",
        examples=(
            "mcmfh-archive build archive --checkpoint runs/a/fit/checkpoints/best.ckpt --pairs data/pairs",
            "mcmfh-archive add archive --pairs data/new",
            "mcmfh-archive delete archive --ids 'film 20' --ids 'film 21'",
            'mcmfh-archive search archive --text "small left pleural effusion" --k 10',
            "mcmfh-archive search archive --image film.png --labels effusion --since 2020-01-01",
            "mcmfh-archive serve archive",
        ),
        main_options={
            "search": "archive text image id k radius against labels any-labels since until groups without-groups "
            "splits has-image format out",
        },
    ),
}
"""By name of the program."""
