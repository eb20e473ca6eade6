"""``mcmfh fit``, ``validate``, ``test`` and ``predict``: LightningCLI with one folder for each run."""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NoReturn

import yaml
from jsonargparse import get_loader, set_loader
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger
from lightning.pytorch.plugins import CheckpointIO
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn
from lightning.pytorch.utilities.exceptions import SIGTERMException

# Short class names in configs and flags (--model MCMFH) resolve against what is imported here.
import mcmfh_lightning.callbacks
import mcmfh_lightning.datamodules
import mcmfh_lightning.encoders
import mcmfh_lightning.hashers
import mcmfh_lightning.trainer.loggers  # noqa: F401  (imported for the names, as the four above)
from mcmfh_lightning.callbacks import ExampleGallery, FitReport, LastCheckpoint, RunFolder
from mcmfh_lightning.cli.command_line import check_configs, one_line
from mcmfh_lightning.cli.project import with_project
from mcmfh_lightning.datamodules.base import ShardDataModule
from mcmfh_lightning.datamodules.loader import worker_errors
from mcmfh_lightning.errors import TRACEBACK_VARIABLE, CheckpointError, ConfigError, one_line_errors, own_error, say
from mcmfh_lightning.hashers.base import RENAMED, Hasher
from mcmfh_lightning.lightning_configs import find_configs
from mcmfh_lightning.trainer.checkpoint_io import AtomicCheckpointIO
from mcmfh_lightning.trainer.loggers import ResumableCSVLogger
from mcmfh_lightning.trainer.run_files import (
    SaveRunConfig,
    check_results,
    check_unused,
    check_writable,
    find_best,
    find_checkpoint,
)

_NOT_INSTALLED = (
    "trainer.logger needs the package {0}, which is not installed: pip install 'mcmfh-lightning[{0}]', or choose "
    "logger/csv.yaml"
)


class OneLineParser(LightningArgumentParser):
    """Parser whose errors are one line instead of a page of options."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print what is wrong and exit with code 2, or raise if another parser called this one."""
        if not self.exit_on_error:
            super().error(message, ex)
        if os.environ.get(TRACEBACK_VARIABLE):
            raise ConfigError(message) from ex
        parser = getattr(ex, "subcommand_parser", None) or self
        prog = parser.prog.replace(" [options]", "")
        sys.stderr.write(f"mcmfh: error: {one_line(message)}; options: {prog} --help\n")
        sys.exit(2)


class McmfhCLI(LightningCLI):
    """LightningCLI with one folder for each run, sizes read from the data, and no options hidden in checkpoints."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add ``--run_dir`` and link the sizes of the data to the model."""
        parser.add_argument("--run_dir", default="runs/mcmfh", help="Everything a run writes goes below this folder.")
        parser.add_argument(
            "--log_examples",
            type=bool,
            default=False,
            help="Draw test queries and what they find (raw pairs: pictures and texts) and give them to the logger.",
        )
        # Every run has it, after the callbacks of the config: it stores the state of the one that keeps the best.
        parser.add_lightning_class_args(LastCheckpoint, "last_checkpoint")
        for name in ("image_dim", "text_dim", "num_labels"):
            parser.link_arguments(f"data.{name}", f"model.init_args.{name}", apply_on="instantiate")
        for place in ("data", "model", "model.init_args.hasher"):
            parser.link_arguments("seed_everything", f"{place}.init_args.seed")
        for place in ("model", "model.init_args.hasher"):
            parser.link_arguments("trainer.max_epochs", f"{place}.init_args.lr_scheduler.init_args.T_max")

    def _parse_ckpt_path(self) -> None:
        """Keep the configuration as the user wrote it.

        Lightning lets the checkpoint's hyper-parameters override configs and flags silently, so that
        ``test --ckpt_path 16bits.ckpt --model.num_bits=64`` would report 16 bits under the name of 64.
        Here the model is built from the flags, and a checkpoint that differs is an error: see
        ``Hasher.on_load_checkpoint``.
        """

    def before_instantiate_classes(self) -> None:
        """Send the logs of known loggers to ``<run_dir>/<subcommand>``, whatever folder their config names.

        Raises:
            ConfigError: If the package of the logger is not installed.
        """
        config = self.config[self.subcommand]
        loggers = config["trainer"]["logger"]
        for logger in loggers if isinstance(loggers, list) else [loggers]:
            if "class_path" not in (logger or ()):  # True, False or None
                continue
            kind = resolve_name(logger["class_path"])
            if issubclass(kind, CSVLogger | TensorBoardLogger):
                for name, value in (("save_dir", config["run_dir"]), ("name", ""), ("version", self.subcommand)):
                    logger["init_args"][name] = value
            if issubclass(kind, WandbLogger):
                logger["init_args"]["save_dir"] = str(Path(config["run_dir"], str(self.subcommand)))
                if find_spec("wandb") is None:
                    raise ConfigError(_NOT_INSTALLED.format("wandb"))
            if issubclass(kind, TensorBoardLogger) and not (find_spec("tensorboard") or find_spec("tensorboardX")):
                raise ConfigError(_NOT_INSTALLED.format("tensorboard"))

    def instantiate_classes(self) -> None:
        """Build data, model and trainer.

        Raises:
            ConfigError: If a constructor refuses a value; ``MCMFH_TRACEBACK=1`` shows where.
        """
        try:
            super().instantiate_classes()
        except (ValueError, TypeError, MisconfigurationException) as error:
            if own_error(error) is not None:
                raise
            raise ConfigError(f"{one_line(str(error))} ({TRACEBACK_VARIABLE}=1 shows where)") from error

    def after_instantiate_classes(self) -> None:
        """Complete the arguments that checkpoints store, so that ``load_from_checkpoint`` can build the model.

        jsonargparse leaves a linked value out where it dumps a class inside a class, here the scheduler.
        """
        value = self.config[self.subcommand].get("model.init_args.lr_scheduler.init_args.T_max")
        if value is not None and "lr_scheduler" in self.model.hparams:
            self.model.hparams["lr_scheduler"]["init_args"]["T_max"] = value

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:  # noqa: ANN401  # Lightning's signature
        """Build the trainer; it writes to ``<run_dir>/<subcommand>``, by default with a CSVLogger.

        Raises:
            DataError: If ``fit`` would overwrite the checkpoints of an earlier run, nothing can be written, or a global
                batch cannot be divided over the processes.
        """
        config = self.config_init[self.subcommand]
        run_dir = Path(config["run_dir"])
        folder = run_dir / str(self.subcommand)
        trains = self.subcommand == "fit"
        if getattr(rank_zero_only, "rank", 0) == 0 and not config["trainer"]["fast_dev_run"]:
            if trains:
                check_unused(run_dir, config["ckpt_path"])
            if self.subcommand != "predict":  # writes to a folder of its own
                check_writable(folder)
        config["trainer"]["default_root_dir"] = config["trainer"]["default_root_dir"] or str(folder)
        if config["trainer"]["logger"] in (None, True):
            kwargs["logger"] = ResumableCSVLogger(run_dir, name="", version=self.subcommand)
        plugins = config["trainer"]["plugins"] or []
        plugins = plugins if isinstance(plugins, list) else [plugins]
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            kwargs["plugins"] = [*plugins, AtomicCheckpointIO()]
        callbacks = config["trainer"]["callbacks"] or []
        kwargs["callbacks"] = [
            RunFolder(folder),
            *(callbacks if isinstance(callbacks, list) else [callbacks]),
            *([ExampleGallery()] if config["log_examples"] else []),
            *([FitReport()] if trains else []),
        ]
        trainer = super().instantiate_trainer(**kwargs)
        for logger in trainer.loggers:
            if isinstance(logger, ResumableCSVLogger):
                logger.resume = trains and bool(config["ckpt_path"])
            if isinstance(logger, WandbLogger):
                folder.mkdir(parents=True, exist_ok=True)  # or wandb takes a temporary folder
        if trains and hasattr(self.datamodule, "check_ranks"):
            # Before Lightning starts the other processes: each of them would say the same.
            self.datamodule.check_ranks(trainer.num_devices * trainer.num_nodes)
        return trainer

    def _finish_wandb(self) -> None:
        """Finish the run in wandb, so that a later run of this process starts a new one."""
        for logger in self.trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.experiment.finish()

    after_fit = after_validate = after_test = after_predict = _finish_wandb

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        """Load checkpoints as data, never as code, and leave the result table of a test to the callback.

        Raises:
            CheckpointError: If there are no trained weights to measure.
            DataError: If a test would replace the results of other weights or data.
        """
        kwargs: dict[str, Any] = super()._prepare_subcommand_kwargs(subcommand) | {"weights_only": True}
        run_dir = Path(self.config_init[subcommand]["run_dir"])
        kwargs["ckpt_path"] = find_checkpoint(run_dir, kwargs["ckpt_path"], fit=subcommand == "fit")
        if kwargs["ckpt_path"] is None and _needs_weights(subcommand, self.model):
            kwargs["ckpt_path"] = self._best_weights(run_dir)
        if subcommand != "test":
            return kwargs
        dry = self.trainer.fast_dev_run  # type: ignore[attr-defined]  # set at run time
        first = getattr(rank_zero_only, "rank", 0) == 0
        report = run_dir / subcommand / "metrics.json"
        if first and not dry and report.is_file() and isinstance(self.datamodule, ShardDataModule):
            check_results(report, kwargs["ckpt_path"], self.datamodule.provenance())
            say(f"{report.parent}: replaces the earlier results of the same weights on the same data")
        return kwargs | {"verbose": False}

    def _best_weights(self, run_dir: Path) -> str | None:
        """Find the best weights of the run; a ``fast_dev_run``, which writes no numbers, works without them."""
        first = getattr(rank_zero_only, "rank", 0) == 0
        try:
            best = find_best(run_dir, str(self.subcommand))
        except CheckpointError:
            if not self.trainer.fast_dev_run:  # type: ignore[attr-defined]  # set at run time
                raise
            best = None
        if first:
            say("fast_dev_run with untrained weights" if best is None else f"the best weights of the run: {best}")
        return best


def _needs_weights(subcommand: str, model: LightningModule) -> bool:
    """Say whether a command is useless without trained weights; an encoder brings its own."""
    return subcommand in ("validate", "test") or (subcommand == "predict" and isinstance(model, Hasher))


_load_yaml = get_loader("yaml")


def _with_present_names(value: Any) -> Any:  # noqa: ANN401  # any content of a config
    """Rename keys of a config that have the name of the version before, with a warning."""
    if isinstance(value, list):
        return [_with_present_names(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {_present_name(name): _with_present_names(item) for name, item in value.items()}


def _present_name(dotted: str) -> str:
    """Rename the last part of a flag or key if it was renamed; the former names are accepted for one release."""
    owner, dot, name = str(dotted).rpartition(".")
    if name not in RENAMED:
        return dotted
    rank_zero_warn(f"{dotted} is now {owner}{dot}{RENAMED[name]}; the next release drops the old name")
    return owner + dot + RENAMED[name]


set_loader("yaml", lambda text: _with_present_names(_load_yaml(text)), exceptions=(yaml.YAMLError,))


def _read_arguments(args: Sequence[str]) -> list[str]:
    """Find the configs that a command line names, and rename its flags of the version before."""
    flags = (arg.partition("=") for arg in find_configs(with_project(args)))
    return [(_present_name(name) if name.startswith("--") else name) + equals + value for name, equals, value in flags]


@contextmanager
def _unfinished_on_sigterm() -> Iterator[None]:
    """Exit with code 143 when SIGTERM ends the work early, as a shell does.

    Lightning's exception has exit code 0: a script would continue and test half-trained weights.
    """
    try:
        yield
    except SIGTERMException:
        sys.stderr.write("mcmfh: stopped by SIGTERM before the end; `fit` resumes with --ckpt_path last\n")
        sys.exit(128 + signal.SIGTERM)


def main(args: Sequence[str] | None = None) -> None:
    """Run a subcommand of LightningCLI; errors of this package end in one line and exit code 2."""
    sys.argv[1:] = _read_arguments(sys.argv[1:])  # in place: processes that Lightning relaunches under DDP see the same
    with _unfinished_on_sigterm(), one_line_errors("mcmfh"), worker_errors():
        check_configs(sys.argv[1:] if args is None else _read_arguments(args))
        McmfhCLI(
            LightningModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            seed_everything_default=0,
            auto_configure_optimizers=False,  # hashers take theirs as arguments
            save_config_callback=SaveRunConfig,
            save_config_kwargs={"save_to_log_dir": False},
            parser_class=OneLineParser,
            parser_kwargs={"allow_abbrev": False},  # of all subcommands: they take it from the parser above
            args=None if args is None else _read_arguments(args),
        )
