"""``mcmfh-data phantom``."""

from pathlib import Path

from rich.console import Console

from mcmfh_lightning.datamodules.phantom.write import IMAGES, REPORTS, SPLITS_CSV, write_phantom


def phantom(*, out: Path, studies: int = 1600, seed: int = 0) -> None:
    """Draw chest-film-like pictures and write reports about them, in Open-i's file formats.

    Args:
        out: folder to write; must be empty or not exist yet.
        studies: number of studies; about one in seven has two films.
        seed: of everything; equal seeds give equal files.
    """
    console = Console(stderr=True)
    write_phantom(out, studies, seed, console)
    console.print(
        f"Convert it with: mcmfh-data openi --name phantom --reports {out / REPORTS} --images {out / IMAGES} "
        f"--splits {out / SPLITS_CSV} --out ...",
        markup=False,
        soft_wrap=True,
    )
