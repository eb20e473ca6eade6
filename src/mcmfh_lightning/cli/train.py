"""``mcmfh fit``, ``validate``, ``test`` and ``predict``: LightningCLI with one folder for each run."""

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.plugins import CheckpointIO
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException

# Short class names in configs and flags (--model MCMFH) resolve against what is imported here.
import mcmfh_lightning.callbacks
import mcmfh_lightning.datamodules
import mcmfh_lightning.encoders
import mcmfh_lightning.hashers
import mcmfh_lightning.trainer.loggers  # noqa: F401  (imported for the names, as the four above)
from mcmfh_lightning.callbacks import (
    CodeWriter,
    ExampleGallery,
    FitReport,
    HammingRanking,
    LastCheckpoint,
    RunFolder,
)
from mcmfh_lightning.callbacks.logs import MonitorCheck, PlainProgress, ShortFit
from mcmfh_lightning.cli.options import class_options, hyphenated
from mcmfh_lightning.cli.train_help import all_lines
from mcmfh_lightning.cli.train_messages import describe_library
from mcmfh_lightning.cli.train_parser import OneLineParser, read_arguments, usage_errors
from mcmfh_lightning.datamodules.base import ShardDataModule
from mcmfh_lightning.datamodules.loader import worker_errors
from mcmfh_lightning.datamodules.pairs import PairDataModule
from mcmfh_lightning.errors import CheckpointError, ConfigError, missing_extra, one_line_errors, own_error, say
from mcmfh_lightning.hashers.base import Hasher
from mcmfh_lightning.searches import SEARCHES
from mcmfh_lightning.trainer.checkpoint_io import AtomicCheckpointIO
from mcmfh_lightning.trainer.loggers import ResumableCSVLogger, place_logs
from mcmfh_lightning.trainer.run_files import (
    SaveRunConfig,
    check_results,
    check_unused,
    check_writable,
    describe_unfinished,
    find_best,
    find_checkpoint,
)


class McmfhCLI(LightningCLI):
    """LightningCLI with one folder for each run, sizes read from the data, and no options hidden in checkpoints.

    Args:
        command: The subcommand that is called. The others get no parser: each takes as long to build as this one.
        **kwargs: Arguments of LightningCLI.
    """

    def __init__(self, command: str, **kwargs: Any) -> None:  # noqa: ANN401  # Lightning's
        self._command = command
        super().__init__(**kwargs)

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]  # static in Lightning, which adds them all
        """Return the subcommand that is called and the arguments of its method to leave out of the options."""
        every = super().subcommands()
        return {self._command: every[self._command]} if self._command in every else every

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the options of a whole run and link the sizes of the data to the model."""
        parser.add_argument("--run_dir", default="runs/mcmfh", help="Everything a run writes goes below this folder.")
        parser.add_argument(
            "--log_examples",
            type=bool,
            default=False,
            help="Draw test queries and what they find (raw pairs: pictures and texts) and give them to the logger.",
        )
        parser.add_argument(
            "--searches",
            nargs="+",
            choices=[*SEARCHES],
            help="Searches whose mean mAP chooses the epoch of a fit; default: those of the callback HammingRanking.",
        )
        # Every run has it, after the callbacks of the config: it stores the state of the one that keeps the best.
        parser.add_lightning_class_args(LastCheckpoint, "last_checkpoint")
        for name in ("image_dim", "text_dim", "num_labels"):
            parser.link_arguments(f"data.{name}", f"model.init_args.{name}", apply_on="instantiate")
        for place in ("data", "model", "model.init_args.hasher"):
            parser.link_arguments("seed_everything", f"{place}.init_args.seed")
        for place in ("model", "model.init_args.hasher"):
            for name in ("lr_scheduler.init_args.T_max", "annealing_epochs"):
                parser.link_arguments("trainer.max_epochs", f"{place}.init_args.{name}")

    def _parse_ckpt_path(self) -> None:
        """Keep the configuration as the user wrote it.

        Lightning lets the checkpoint's hyper-parameters override configs and flags silently, so that
        ``test --ckpt_path 16bits.ckpt --model.num_bits=64`` would report 16 bits under the name of 64.
        Here the model is built from the flags, and a checkpoint that differs is an error: see
        ``Hasher.on_load_checkpoint``.
        """

    def _set_seed(self) -> None:
        """Set the seed of everything.

        Raises:
            ConfigError: If the generators of random numbers do not take it.
        """
        try:
            super()._set_seed()
        except ValueError as error:
            said = str(error).partition(",")[0]
            raise ConfigError(f"--seed-everything: {said}; pass a whole number from 0 to {2**32 - 1}") from error

    def before_instantiate_classes(self) -> None:
        """Send the logs of known loggers to ``<run_dir>/<subcommand>``; give the searches to the callback that ranks.

        Raises:
            ConfigError: If the package of the logger is not installed, or nothing takes the searches.
        """
        config = self.config[self.subcommand]
        if config["searches"]:
            _choose_by(config["searches"], config["trainer"]["callbacks"])
        place_logs(config["trainer"]["logger"], config["run_dir"], str(self.subcommand))

    def instantiate_classes(self) -> None:
        """Build data, model and trainer.

        Raises:
            ConfigError: If a constructor refuses a value; ``MCMFH_TRACEBACK=1`` shows where.
        """
        self._check_features()
        try:
            super().instantiate_classes()
        except (ValueError, TypeError, ImportError, MisconfigurationException) as error:
            if own_error(error) is not None:
                raise
            raise ConfigError(missing_extra(error) or describe_library(str(error), self._option_of())) from error

    def _option_of(self) -> dict[str, str]:
        """Return the option of each argument of the data and the model, as it is typed."""
        config = self.config[self.subcommand]
        arguments = {key: class_options(config[key]["class_path"]) or () for key in ("data", "model")}
        return {one.name: hyphenated(f"{key}.{one.name}") for key, found in arguments.items() for one in found}

    def _check_features(self) -> None:
        """Refuse a hasher of features with data that are pairs."""
        config = self.config[self.subcommand]
        model, data = (resolve_name(config[name]["class_path"]) for name in ("model", "data"))
        takes_features = issubclass(model, Hasher) and "image_dim" in signature(model).parameters
        if takes_features and issubclass(data, PairDataModule):
            raise ConfigError(
                f"{model.__name__} takes features, and {data.__name__} gives pairs: encode them first (mcmfh predict "
                "--config experiments/encode_offline.yaml) and pass --data FeatureDataModule, or train end to end "
                "(--config experiments/end_to_end_mcmfh.yaml)"
            )

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
        folder = Path(config["run_dir"], str(self.subcommand))
        trains, settings = self.subcommand == "fit", config["trainer"]
        if getattr(rank_zero_only, "rank", 0) == 0 and not settings["fast_dev_run"]:
            self._check_folder(folder, config["ckpt_path"])
        settings["default_root_dir"] = settings["default_root_dir"] or str(folder)
        if settings["logger"] in (None, True):
            kwargs["logger"] = self.subcommand != "predict" and ResumableCSVLogger(
                folder.parent, name="", version=folder.name
            )
        callbacks, plugins = (
            given if isinstance(given, list) else [given]
            for given in (settings["callbacks"] or [], settings["plugins"] or [])
        )
        has_bar = any(isinstance(callback, ProgressBar) for callback in callbacks)
        if settings["enable_progress_bar"] is None and not sys.stdout.isatty() and not has_bar:
            kwargs["enable_progress_bar"] = False  # a bar in a file is a line for each of its states
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            kwargs["plugins"] = [*plugins, AtomicCheckpointIO()]
        kwargs["callbacks"] = [
            RunFolder(folder),
            *callbacks,
            *([ExampleGallery()] if config["log_examples"] else []),
            *([MonitorCheck(), ShortFit(), FitReport()] if trains else []),
            *([CodeWriter(folder)] if self._writes_codes else []),
            *([PlainProgress()] if kwargs.get("enable_progress_bar") is False else []),
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

    @property
    def _writes_codes(self) -> bool:
        return self.subcommand == "predict" and isinstance(self.model, Hasher)

    def _check_folder(self, folder: Path, ckpt_path: str | None) -> None:
        """Refuse a folder that holds another run, or that cannot be written to; say what is replaced."""
        if self.subcommand == "fit":
            check_unused(folder.parent, ckpt_path)
        if self.subcommand != "predict" or self._writes_codes:  # an encoder writes to a folder of its own
            check_writable(folder)
        if self.subcommand == "validate" and (folder / "metrics.csv").is_file():
            say(f"{folder / 'metrics.csv'}: replaces the numbers of an earlier validate")

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
            DataError: If a test would replace the results of other weights or data, or a predict their codes.
        """
        kwargs: dict[str, Any] = super()._prepare_subcommand_kwargs(subcommand) | {"weights_only": True}
        run_dir = Path(self.config_init[subcommand]["run_dir"])
        kwargs["ckpt_path"] = find_checkpoint(run_dir, kwargs["ckpt_path"], fit=subcommand == "fit")
        if kwargs["ckpt_path"] is None and (subcommand in ("validate", "test") or self._writes_codes):
            kwargs["ckpt_path"] = self._best_weights(run_dir)
        if self._writes_codes:
            kwargs["return_predictions"] = False  # the callback writes them
        if subcommand in ("validate", "predict") and getattr(rank_zero_only, "rank", 0) == 0:  # a test notes it
            for line in describe_unfinished(kwargs["ckpt_path"]):
                say(line)
        if subcommand == "test" or self._writes_codes:
            self._check_earlier(run_dir / subcommand, kwargs["ckpt_path"])
        return kwargs | ({"verbose": False} if subcommand == "test" else {})

    def _check_earlier(self, folder: Path, ckpt_path: str | None) -> None:
        """Refuse to replace results or codes of other weights or data; say what is replaced."""
        report, what = (folder / "codes.json", "codes") if self._writes_codes else (folder / "metrics.json", "results")
        first = getattr(rank_zero_only, "rank", 0) == 0
        if self.trainer.fast_dev_run or not first or not report.is_file():  # type: ignore[attr-defined]  # set at run time
            return
        if ckpt_path is not None and isinstance(self.datamodule, ShardDataModule):
            check_results(report, ckpt_path, self.datamodule.provenance(), what)
            say(f"{folder}: replaces the earlier {what} of the same weights on the same data")

    def _best_weights(self, run_dir: Path) -> str | None:
        """Find the best weights of the run; a ``fast_dev_run``, which writes no numbers, works without them."""
        try:
            best = find_best(run_dir, str(self.subcommand))
        except CheckpointError:
            if not self.trainer.fast_dev_run:  # type: ignore[attr-defined]  # set at run time
                raise
            best = None
        if getattr(rank_zero_only, "rank", 0) == 0:
            say("fast_dev_run with untrained weights" if best is None else f"the best weights of the run: {best}")
        return best


def _choose_by(searches: Sequence[str], callbacks: Any) -> None:  # noqa: ANN401  # one of them, several or None
    """Give the searches of a run to the callback that ranks.

    Raises:
        ConfigError: If there is none.
    """
    given = callbacks if isinstance(callbacks, list) else [callbacks]
    rankings = [one for one in given if one and issubclass(resolve_name(one["class_path"]), HammingRanking)]
    if not rankings:
        raise ConfigError(
            "--searches is for the callback HammingRanking, which trainer.callbacks lacks: add it, or drop the option"
        )
    for ranking in rankings:
        ranking["init_args"]["searches"] = list(searches)


@contextmanager
def _unfinished_on_signal(command: str) -> Iterator[None]:
    """Exit with code 143 or 130 when SIGTERM or Ctrl-C ends the work early, as a shell does, and say how to resume.

    Lightning's exception of SIGTERM has exit code 0: a script would continue and test half-trained weights.
    """
    try:
        yield
    except SIGTERMException:
        number, name = signal.SIGTERM, "SIGTERM"
    except (KeyboardInterrupt, SystemExit) as error:
        # Lightning's trainer turns the first into the second.
        if not isinstance(error if isinstance(error, KeyboardInterrupt) else error.__context__, KeyboardInterrupt):
            raise
        number, name = signal.SIGINT, "Ctrl-C"
    else:
        return
    if getattr(rank_zero_only, "rank", 0) == 0:
        how = "; `fit` resumes with --ckpt-path last" if command == "fit" else ""
        sys.stderr.write(f"mcmfh: stopped by {name} before the end{how}\n")
    sys.exit(128 + number)


def main(args: Sequence[str] | None = None) -> None:
    """Run a subcommand of LightningCLI; errors of this package end in one line and exit code 2."""
    words = sys.argv[1:] if args is None else args
    with one_line_errors("mcmfh"), _unfinished_on_signal("".join(words[:1])), worker_errors():
        arguments = read_arguments(words)
        if args is None:
            sys.argv[1:] = arguments  # in place: processes that Lightning relaunches under DDP see the same
        if arguments[-2:] == ["--help", "all"]:  # the parser leaves the options of model and data out
            for line in all_lines(arguments[0], arguments[1:-2]):
                say(line)
            args = arguments = [arguments[0], "--help"]
        with usage_errors(arguments):
            McmfhCLI(
                "".join(arguments[:1]),
                model_class=LightningModule,
                datamodule_class=LightningDataModule,
                subclass_mode_model=True,
                subclass_mode_data=True,
                seed_everything_default=0,
                auto_configure_optimizers=False,  # hashers take theirs as arguments
                save_config_callback=SaveRunConfig,
                save_config_kwargs={"save_to_log_dir": False},
                parser_class=OneLineParser,
                parser_kwargs={"allow_abbrev": False},  # of all subcommands: they take it from the parser above
                args=None if args is None else arguments,
            )
