"""What every hashing method shares: codes, steps, optimisers, checkpoints."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, ClassVar, NamedTuple

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from mcmfh_lightning.errors import CheckpointError, DataError
from mcmfh_lightning.types import Distance, EvaluationOutput, FeatureBatch

CHECKPOINT_KEY = "mcmfh"
CHECKPOINT_FORMAT_VERSION = 1
_MOST_NAMED = 20


class Codes(NamedTuple):
    """Relaxed codes in [-1, 1]^num_bits; the sign (>= 0 is +1) is the code."""

    image: Tensor | None
    """(B, num_bits), None without images."""
    text: Tensor | None
    """(B, num_bits), None without texts."""


class Objective(NamedTuple):
    """What a training step minimises, and what it reports beside it."""

    terms: dict[str, Tensor]
    """Weighted loss terms by name; their sum is minimised."""
    statistics: dict[str, Tensor]
    """Scalars that are only logged."""


class Hasher(LightningModule, ABC):
    """Base of all methods: a method says how it encodes, what it minimises and what it evaluates.

    Args:
        architecture: Every argument that decides which weights the method has or what they compute, ``num_bits``
            among them if it has codes. Stored in checkpoints; a checkpoint of another architecture is refused.
        optimizer: Makes the optimiser from the parameters.
        lr_scheduler: Makes a scheduler from the optimiser; it is stepped once an epoch.

    Raises:
        ValueError: ``num_bits`` or ``d_model`` is less than 1.
    """

    distance: ClassVar[Distance] = "hamming"
    """What evaluation ranks by."""

    def __init__(
        self,
        architecture: dict[str, int | float | str],
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None,
    ) -> None:
        super().__init__()
        for name in ("num_bits", "d_model"):
            if int(architecture.get(name, 1)) < 1:
                raise ValueError(f"{name}={architecture[name]} is less than 1")
        self.architecture = {"hasher": type(self).__name__, **architecture}
        self._make_optimizer = optimizer
        self._make_lr_scheduler = lr_scheduler

    @abstractmethod
    def encode(self, image: Tensor | None, text: Tensor | None) -> Codes:
        """Hash samples from what is known of them.

        Args:
            image: (B, image_dim) embeddings, or None when unknown.
            text: (B, text_dim) embeddings, or None when unknown.

        Returns:
            The code of each modality that was given; with both given, a method that fuses sees both in each.

        Raises:
            ValueError: If both are None.
        """

    @abstractmethod
    def objective(self, batch: FeatureBatch) -> Objective:
        """The loss of a training batch, term by term."""

    @abstractmethod
    def evaluate(self, batch: FeatureBatch) -> EvaluationOutput:
        """The codes of all protocols; nothing of a sample's partner may enter its unimodal codes."""

    @property
    def needs_labels(self) -> bool:
        """Whether training learns from labels."""
        return getattr(self, "supervision", "pairs") == "labels"

    def on_fit_start(self) -> None:
        """Refuse data without the labels that training needs, and say what accumulated gradients would mean here.

        Raises:
            DataError: If the data have no labels.
        """
        if self.needs_labels and self._of_data("label_vocabulary") == ():
            way_out = ", or pass --model.supervision pairs" if hasattr(self, "supervision") else ""
            raise DataError(
                f"the data have no labels, and {self.architecture['hasher']} learns from them; convert data with "
                f"labels, choose a method that needs none{way_out}"
            )
        if self.trainer.accumulate_grad_batches > 1:
            rank_zero_warn(
                f"accumulate_grad_batches={self.trainer.accumulate_grad_batches}: the loss of each batch sees its own "
                "negatives only, not those of the others that make up the step. To save memory end to end, set "
                "EndToEnd's micro_batch_size instead"
            )

    def training_step(self, batch: FeatureBatch, batch_idx: int) -> Tensor:
        """Sum the loss terms and log everything as ``train/<name>``.

        Raises:
            DataError: If the loss is not finite.
        """
        terms, statistics = self.objective(batch)
        loss = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(loss):
            raise DataError(_not_finite(batch, terms, self._training_ids()))
        self.log("train/loss", loss.detach(), prog_bar=True)
        self.log_dict({f"train/{name}": term.detach() for name, term in (terms | statistics).items()})
        return loss

    def validation_step(self, batch: FeatureBatch, batch_idx: int, dataloader_idx: int = 0) -> EvaluationOutput:
        """Encode for the ranking callback."""
        return self.evaluate(batch)

    def test_step(self, batch: FeatureBatch, batch_idx: int, dataloader_idx: int = 0) -> EvaluationOutput:
        """Encode for the ranking callback."""
        return self.evaluate(batch)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Build what the configuration names."""
        optimizer = self.make_optimizer()
        if self._make_lr_scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self._make_lr_scheduler(optimizer)}}

    def make_optimizer(self) -> torch.optim.Optimizer:
        """The optimiser over all parameters; a method with several learning rates has its own."""
        return self._make_optimizer(self.parameters())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what identifies the model and its data, and nothing that needs unpickling."""
        checkpoint[CHECKPOINT_KEY] = {
            "format_version": CHECKPOINT_FORMAT_VERSION,
            "package_version": version("mcmfh-lightning"),
            "architecture": dict(self.architecture),
            "num_bits": self.architecture.get("num_bits"),
            "encoder": self._of_data("encoder"),
            "label_vocabulary": self._of_data("label_vocabulary"),
        }
        # Given from Python these are functions, which torch.load(weights_only=True) refuses; the command line stores
        # them as plain dicts.
        arguments = checkpoint.get(self.CHECKPOINT_HYPER_PARAMS_KEY, {})
        for name in [name for name, value in arguments.items() if callable(value)]:
            del arguments[name]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Compare the checkpoint with this model and the data it is used with.

        Raises:
            CheckpointError: If it is of another format, architecture or encoder, or, when training goes on, of other
                labels or made with other arguments.
        """
        stored = checkpoint.get(CHECKPOINT_KEY)
        if stored is None:
            raise CheckpointError(
                f"the checkpoint has no entry {CHECKPOINT_KEY!r}: it was not written by a hasher of this package; "
                "pass one that `mcmfh fit` wrote"
            )
        if stored["format_version"] != CHECKPOINT_FORMAT_VERSION:
            raise CheckpointError(
                f"the checkpoint has format version {stored['format_version']}, this package reads "
                f"{CHECKPOINT_FORMAT_VERSION}; it was written by mcmfh-lightning {stored['package_version']}: use that"
            )
        # In this order: the method comes before its arguments.
        for name in stored["architecture"] | self.architecture:
            theirs, ours = stored["architecture"].get(name), self.architecture.get(name)
            if theirs != ours:
                raise CheckpointError(
                    f"the checkpoint has {name}={theirs!r}, this model {name}={ours!r}; drop the flag or train anew"
                )
        self._check_data("encoder", stored, "encode the data with that encoder (`mcmfh predict`) or train anew")
        if self._trainer is not None and self._trainer.state.fn == TrainerFn.FITTING:
            self._check_data("label_vocabulary", stored, "resume on the data the run began with or start a new run")
            self._check_arguments(checkpoint.get(self.CHECKPOINT_HYPER_PARAMS_KEY, {}))

    def _check_arguments(self, stored: dict[str, Any]) -> None:
        """Refuse what a resumed run would not do: optimisers and schedulers take their settings from the checkpoint."""
        theirs, ours = _flat(stored), _flat(dict(self.hparams))
        for name in theirs.keys() & ours.keys():
            if theirs[name] != ours[name]:
                which = f"{name} (which is trainer.max_epochs)" if name.endswith("T_max") else name
                raise CheckpointError(
                    f"the run of the checkpoint has {which} {theirs[name]!r}, this one {ours[name]!r}; resume with "
                    "what it began with or start a new run"
                )

    def _check_data(self, name: str, stored: dict[str, Any], mend: str) -> None:
        ours = self._of_data(name)
        if ours is not None and stored[name] is not None and ours != stored[name]:
            raise CheckpointError(
                f"the checkpoint was trained with {name} {stored[name]!r}, the data has {ours!r}; {mend}"
            )

    def _training_ids(self) -> Sequence[str] | None:
        """Ids of the training pairs by index; None if the data have none."""
        reader = self._of_data("reader")
        return None if reader is None else reader("train").ids

    def _of_data(self, name: str) -> Any:  # noqa: ANN401  # plain JSON values
        """An attribute of the attached datamodule; None without one."""
        datamodule = None if self._trainer is None else getattr(self._trainer, "datamodule", None)
        return getattr(datamodule, name, None)


def _flat(arguments: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested arguments by dotted names, without the functions that Python callers give."""
    flat: dict[str, Any] = {}
    for name, value in arguments.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        elif not callable(value):
            flat[prefix + name] = value
    return flat


def _not_finite(batch: FeatureBatch, terms: dict[str, Tensor], ids: Sequence[str] | None) -> str:
    """Message for a loss that is not finite: which terms, which samples, what to do."""
    names = ", ".join(name for name, term in terms.items() if not torch.isfinite(term)) or "their sum"
    broken = ~(torch.isfinite(batch["image"]).all(dim=1) & torch.isfinite(batch["text"]).all(dim=1))
    index = batch["index"]
    if broken.any():
        return (
            f"the loss is not finite ({names}): the embeddings of the training pairs {_listed(index[broken], ids)} "
            "hold NaN or infinity; encode the data anew or leave these pairs out"
        )
    return (
        f"the loss is not finite ({names}) although the embeddings are, in the batch of the training pairs "
        f"{_listed(index, ids)}; the weights have diverged: lower the learning rate, raise the temperature or train in "
        "32-bit precision"
    )


def _listed(index: Tensor, ids: Sequence[str] | None) -> str:
    """The first of them, by id if ids are known, and how many more."""
    values = index[:_MOST_NAMED].tolist()
    rest = len(index) - len(values)
    named = [str(value) if ids is None else ids[value] for value in values]
    return ("with index " if ids is None else "") + ", ".join(named) + (f" and {rest} more" if rest else "")
