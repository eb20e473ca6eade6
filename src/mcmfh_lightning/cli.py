"""The ``mcmfh`` command: LightningCLI with fit, validate, test and predict."""

import sys
import warnings
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_only

# Short class names in configs and flags (--model MCMFH) resolve against what is imported here.
import mcmfh_lightning.callbacks
import mcmfh_lightning.datamodules
import mcmfh_lightning.encoders
import mcmfh_lightning.hashers  # noqa: F401  (imported for the names, as the three above)
from mcmfh_lightning.errors import DataError, one_line_errors


class McmfhCLI(LightningCLI):
    """LightningCLI with one folder a run, sizes read from the data, and no silent reinterpretation of checkpoints."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds ``--run_dir`` and links what the data decides to the model."""
        parser.add_argument("--run_dir", default="runs/mcmfh", help="Everything a run writes goes below this folder.")
        for name in ("image_dim", "text_dim", "num_labels"):
            parser.link_arguments(f"data.{name}", f"model.init_args.{name}", apply_on="instantiate")
        for place in ("data", "model", "model.init_args.hasher"):
            parser.link_arguments("seed_everything", f"{place}.init_args.seed")
        for place in ("model", "model.init_args.hasher"):
            parser.link_arguments("trainer.max_epochs", f"{place}.init_args.lr_scheduler.init_args.T_max")

    def _parse_ckpt_path(self) -> None:
        """Leaves the configuration as the user wrote it.

        Lightning lets the checkpoint's hyper-parameters override configs and flags silently, so that
        ``test --ckpt_path 16bits.ckpt --model.num_bits=64`` would report 16 bits under the name of 64.
        Here the model is built as asked, and loading a checkpoint that differs is an error: see
        ``Hasher.on_load_checkpoint``.
        """

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:  # noqa: ANN401  # Lightning's signature
        """Logs to ``<run_dir>/<subcommand>`` with a CSVLogger unless the config names another logger.

        Raises:
            DataError: if ``fit`` would overwrite the checkpoints of an earlier run.
        """
        config = self.config_init[self.subcommand]
        run_dir = Path(config["run_dir"])
        checkpoints = run_dir / "fit" / "checkpoints"
        starts_anew = self.subcommand == "fit" and not config["ckpt_path"]
        if starts_anew and getattr(rank_zero_only, "rank", 0) == 0 and any(checkpoints.glob("*.ckpt")):
            raise DataError(
                f"{checkpoints} holds the checkpoints of an earlier run: pass another --run_dir, "
                "--ckpt_path to resume it, or delete the folder."
            )
        config["trainer"]["default_root_dir"] = config["trainer"]["default_root_dir"] or str(run_dir)
        if config["trainer"]["logger"] in (None, True):
            kwargs["logger"] = CSVLogger(run_dir, name="", version=self.subcommand)
        return super().instantiate_trainer(**kwargs)

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        """Loads checkpoints as data, never code, and leaves the result table of a test to the callback."""
        kwargs: dict[str, Any] = super()._prepare_subcommand_kwargs(subcommand) | {"weights_only": True}
        return kwargs | {"verbose": False} if subcommand == "test" else kwargs


def find_config(name: str) -> str:
    """Returns ``name`` if such a file exists, else the config of that name shipped with the package.

    ``experiments/demo.yaml`` thus means the same from a clone and from an empty folder.
    """
    shipped = files("mcmfh_lightning.lightning_configs").joinpath(name)
    return str(shipped) if not Path(name).exists() and shipped.is_file() else name


def find_configs(args: Sequence[str]) -> list[str]:
    """Applies `find_config` to every ``--config`` among command-line arguments."""
    found = list(args)
    for i, arg in enumerate(found):
        if arg.startswith("--config="):
            found[i] = "--config=" + find_config(arg.removeprefix("--config="))
        elif i and found[i - 1] in ("-c", "--config"):
            found[i] = find_config(arg)
    return found


def main(args: Sequence[str] | None = None) -> None:
    """Runs ``mcmfh``; errors of this package end in one line and exit code 2."""
    for message in (
        "Your `IterableDataset` has `__len__` defined",  # our streams give each worker its own batches
        "The dirpath has changed from",  # fit keeps checkpoints, test has none to keep
        "Couldn't infer the batch indices",  # the feature writer reads them from the batch
        "You have overridden `on_after_batch_transfer`",  # pairs are embedded by the module, not by the data
        "Found \\d+ module\\(s\\) in eval mode",  # encoders that learn stay in it
        "Experiment logs directory",  # testing again replaces the result of the earlier test
        "`isinstance\\(treespec, LeafSpec\\)` is deprecated",  # Lightning's own affair
    ):
        warnings.filterwarnings("ignore", message=message)
    sys.argv[1:] = find_configs(sys.argv[1:])  # in place: processes that Lightning relaunches under DDP see the same
    with one_line_errors("mcmfh"):
        McmfhCLI(
            LightningModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            seed_everything_default=0,
            auto_configure_optimizers=False,  # hashers take theirs as arguments
            save_config_kwargs={"overwrite": True},
            parser_kwargs={name: {"allow_abbrev": False} for name in ("fit", "validate", "test", "predict")},
            args=None if args is None else find_configs(args),
        )
