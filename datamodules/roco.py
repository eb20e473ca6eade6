"""Datamodule that goes from ROCO's repository to batches for an encoder in one step."""

from pathlib import Path

from rich.console import Console

from mcmfh_lightning.datamodules.pairs import PairDataModule
from mcmfh_lightning.datasets.roco import RocoOptions, convert_roco


class RocoDataModule(PairDataModule):
    """`PairDataModule` of ROCO that converts the repository first where that was not done yet.

    The conversion runs in ``prepare_data``, on one rank only, so all ranks must see the folder. A folder that the same
    options finished is used, one of other options is refused.

    Args:
        source: What to make of ROCO.
        root: The local folder of pair shards to write or to use.
        batch_size: Items of a batch on each rank.
        num_workers: Worker processes, as `PairDataModule` takes them.
    """

    def __init__(
        self, source: RocoOptions, root: str = "pairs", batch_size: int = 32, num_workers: int | None = None
    ) -> None:
        super().__init__(root, batch_size, num_workers)
        self.prepare_data_per_node = False
        self.source = source

    @property
    def num_labels(self) -> int:
        """Number of labels.

        Raises:
            AttributeError: If the collection is not converted yet; the command line then links nothing.
        """
        if not (Path(self.root) / "dataset.json").exists():
            raise AttributeError("the number of labels is known once the collection is converted")
        return super().num_labels

    def prepare_data(self) -> None:
        """Convert the repository unless that was done.

        Raises:
            DataError: If `convert_roco` raises it.
        """
        convert_roco(self.source, Path(self.root), Console(stderr=True))
