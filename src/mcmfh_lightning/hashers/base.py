"""Base of all hashing methods: codes, steps, optimizers, checkpoints."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from inspect import signature
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple, Self, cast

import torch
from lightning.fabric.utilities.cloud_io import _load
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.types import LRSchedulerConfigType, OptimizerLRScheduler
from torch import Tensor, nn

from mcmfh_lightning.errors import CheckpointError, DataError
from mcmfh_lightning.hashers.checkpoints import (
    CHECKPOINT_FORMAT_VERSION,
    CHECKPOINT_KEY,
    check_same,
    entry_of,
    present_arguments,
    unlearned_of,
    without_earlier,
)
from mcmfh_lightning.losses import Positives, Supervision, find_positives, gather_rows
from mcmfh_lightning.randomness import SampleKey
from mcmfh_lightning.searches import SEARCHES, SearchName
from mcmfh_lightning.types import Distance, EvaluationOutput, FeatureBatch

_MOST_NAMED = 20


class Codes(NamedTuple):
    """Relaxed codes in [-1, 1]^num_bits; the sign (>= 0 is +1) is the code.

    Attributes:
        image: (B, num_bits), None without images.
        text: (B, num_bits), None without texts.
    """

    image: Tensor | None
    text: Tensor | None


class Objective(NamedTuple):
    """Loss of a training step, term by term, and statistics that are reported with it.

    Attributes:
        terms: Weighted loss terms by name; their sum is minimized.
        statistics: Scalars that are only logged.
    """

    terms: dict[str, Tensor]
    statistics: dict[str, Tensor]


class Hasher(LightningModule, ABC):
    """Base of all methods: a method defines `encode`, `objective` and `evaluate`.

    Args:
        architecture: Every argument that decides which weights the method has or what they compute, ``num_bits``
            among them if it has codes. Stored in checkpoints; a checkpoint of another architecture is refused.
        optimizer: Makes the optimizer from the parameters.
        lr_scheduler: Makes a scheduler from the optimizer; it is stepped once an epoch.

    Attributes:
        distance: Distance that evaluation ranks by.
        supervision: Source that training learns from; ``labels`` refuses data without any.
        unlearned: Searches that no loss asks for. Their queries have the codes of items, whatever heads there are.

    Raises:
        ValueError: If ``num_bits`` or ``d_model`` is less than 1.
    """

    distance: Distance = "hamming"
    supervision: Supervision = "pairs"
    unlearned: tuple[SearchName, ...] = ()
    _other_encoder = "encode the data with that encoder (`mcmfh predict`) or train again"

    def __init__(
        self,
        architecture: Mapping[str, int | float | str],
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None,
    ) -> None:
        super().__init__()
        for name in ("num_bits", "d_model"):
            if int(architecture.get(name, 1)) < 1:
                raise ValueError(f"{name}={architecture[name]} is less than 1")
        self.architecture = {"hasher": type(self).__name__, **without_earlier(architecture)}
        self._make_optimizer = optimizer
        self._make_lr_scheduler = lr_scheduler

    @abstractmethod
    def encode(self, image: Tensor | None, text: Tensor | None) -> Codes:
        """Hash samples from one modality or from both.

        Args:
            image: (B, image_dim) embeddings, or None when unknown.
            text: (B, text_dim) embeddings, or None when unknown.

        Returns:
            The code of each modality that was given; with both given, a method that fuses sees both in each.

        Raises:
            ValueError: If both are None.
        """

    def encode_query(self, search: SearchName, embedding: Tensor) -> Tensor:
        """Hash queries of one search: as items of their modality, unless the method has other codes for queries.

        Args:
            search: What is searched by, and for.
            embedding: (B, dim) embeddings of the search's query modality; its partner is not given.

        Returns:
            (B, num_bits) relaxed codes.
        """
        is_image = SEARCHES[search].query == "image"
        code = self.encode(embedding, None).image if is_image else self.encode(None, embedding).text
        return cast(Tensor, code)  # of the modality that was given

    @abstractmethod
    def objective(self, batch: FeatureBatch) -> Objective:
        """Compute the loss of a training batch, term by term."""

    @abstractmethod
    def evaluate(self, batch: FeatureBatch) -> EvaluationOutput:
        """Compute the codes of all protocols; nothing of a sample's partner may enter its unimodal codes."""

    def related(self, batch: FeatureBatch) -> Positives:
        """Find which rows of the global batch belong together."""
        return find_positives(gather_rows(batch["labels"]), gather_rows(batch["group"]), self.supervision)

    @property
    def normal_label(self) -> int | None:
        """Position of the label of normal pairs in the attached data; None without one."""
        normal = self._of_data("normal_label")
        return None if normal is None else list(self._of_data("label_vocabulary")).index(normal)

    def sample_key(self, batch: FeatureBatch) -> SampleKey:
        """Make the key of all random draws of a training step: the step, and the ids of the samples."""
        return SampleKey(torch.tensor(self.global_step), batch["index"])

    def on_fit_start(self) -> None:
        """Refuse data without the labels that training needs; warn of unlearned searches and accumulated gradients.

        Raises:
            DataError: If the data have no labels.
        """
        # Methods of users may still have the property of the version before.
        needs_labels = getattr(self, "needs_labels", self.supervision == "labels")
        if needs_labels and self._of_data("label_vocabulary") == ():
            either = "supervision" in self.hparams
            way_out = ", or train with supervision='pairs' (--model.supervision pairs)" if either else ""
            raise DataError(
                f"the data have no labels, and {self.architecture['hasher']} learns from them; convert data with "
                f"labels, choose a method that needs none{way_out}"
            )
        for search in self.unlearned:
            rank_zero_warn(f"{search} is not learned: {search}_weight is 0, and its queries have the codes of items")
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
            reader = self._of_data("reader")
            raise DataError(_not_finite(batch, terms, None if reader is None else reader("train").ids))
        self.log("train/loss", loss.detach(), prog_bar=True)
        self.log_dict({f"train/{name}": term.detach() for name, term in (terms | statistics).items()})
        return loss

    def validation_step(self, batch: FeatureBatch, batch_idx: int, dataloader_idx: int = 0) -> EvaluationOutput:
        """Encode for the ranking callback."""
        return self.evaluate(batch)

    test_step = validation_step

    def predict_step(self, batch: FeatureBatch, batch_idx: int, dataloader_idx: int = 0) -> EvaluationOutput:
        """Encode for the callback that writes codes: as in a test, which they are compared with."""
        return self.evaluate(batch)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Build the optimizer and the scheduler of the configuration."""
        optimizer = self.make_optimizer()
        if self._make_lr_scheduler is None:
            return optimizer
        scheduler = self._make_lr_scheduler(optimizer)
        config: LRSchedulerConfigType = {"scheduler": scheduler}
        if monitor := getattr(scheduler, "monitor", None):  # of a scheduler that watches a value, ReduceLROnPlateau
            config["monitor"] = monitor
        return {"optimizer": optimizer, "lr_scheduler": config}

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Make the optimizer over all parameters; a method with several learning rates overrides this."""
        return self._make_optimizer(self.parameters())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the identity of the model and its data, and nothing that needs unpickling."""
        checkpoint[CHECKPOINT_KEY] = {
            "format_version": CHECKPOINT_FORMAT_VERSION,
            "package_version": version("mcmfh-lightning"),
            "architecture": dict(self.architecture),
            "num_bits": self.architecture.get("num_bits"),
            "encoder": self._of_data("encoder"),
            "label_vocabulary": self._of_data("label_vocabulary"),
            "unlearned": list(self.unlearned),
        }
        self.save_training_state(checkpoint)
        # Given from Python these are functions, which torch.load(weights_only=True) refuses; the command line stores
        # them as plain dicts.
        arguments = checkpoint.get(self.CHECKPOINT_HYPER_PARAMS_KEY, {})
        for name in [name for name, value in arguments.items() if callable(value)]:
            del arguments[name]

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]  # other options of Lightning's are keywords here
        cls,
        checkpoint_path: str | Path,
        map_location: Any = None,  # noqa: ANN401  # the types of torch.load
        **options: Any,  # noqa: ANN401  # Lightning's
    ) -> Self:
        """Build a hasher from a checkpoint, without unpickling; arguments get the names of this version.

        Raises:
            CheckpointError: See `on_load_checkpoint`.
        """
        # As Lightning reads it: from a URL too, and to the CPU where there is no GPU.
        map_location = map_location or (None if torch.cuda.is_available() else "cpu")
        stored = _load(checkpoint_path, map_location, weights_only=True)
        method = entry_of(stored)["architecture"]["hasher"]
        if method.partition("(")[0] != cls.__name__:  # EndToEnd(MCMFH) is of the class EndToEnd
            check_same({"hasher": cls.__name__}, {"hasher": method})
        arguments = present_arguments(stored.get(cls.CHECKPOINT_HYPER_PARAMS_KEY, {}), signature(cls).parameters)
        if "num_labels" not in signature(cls).parameters:
            arguments.pop("num_labels", None)  # the command line stores it for every method
        file = BytesIO()
        torch.save(stored | {cls.CHECKPOINT_HYPER_PARAMS_KEY: arguments}, file)
        file.seek(0)
        return super().load_from_checkpoint(file, map_location, **options | {"weights_only": True})

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Compare the checkpoint with this model and the data it is used with.

        Raises:
            CheckpointError: If it is of another format, architecture or encoder, or, when training resumes, of other
                labels or made with other arguments.
        """
        stored = entry_of(checkpoint)
        fitting = self._trainer is not None and self._trainer.state.fn == TrainerFn.FITTING
        if fitting:
            self._check_objective(checkpoint.get(self.CHECKPOINT_HYPER_PARAMS_KEY, {}))
        check_same(self.architecture, stored["architecture"])
        self._check_data("encoder", stored, self._other_encoder)
        if fitting:
            self._check_data("label_vocabulary", stored, "resume on the data the run began with or start a new run")
            self._check_arguments(checkpoint.get(self.CHECKPOINT_HYPER_PARAMS_KEY, {}))
            self.load_training_state(checkpoint)
        else:
            self.unlearned = unlearned_of(checkpoint)  # whatever objective this run is configured with
            self.adapt(checkpoint["state_dict"])

    def adapt(self, state: Mapping[str, Tensor]) -> None:
        """Take sizes that depend on the data from a checkpoint's weights; called where nothing is trained."""

    def save_training_state(self, checkpoint: dict[str, Any]) -> None:
        """Add what a resumed run needs and codes do not, as tensors and plain values; it is never shared."""

    def load_training_state(self, checkpoint: Mapping[str, Any]) -> None:
        """Take what `save_training_state` added; called where training resumes."""

    def _check_objective(self, stored: dict[str, Any]) -> None:
        """Refuse to resume a run with an objective that it was not begun with."""
        if "image_dropout" in self.hparams and stored and "image_dropout" not in stored:
            raise CheckpointError(
                "the run of the checkpoint was begun by an earlier version, whose objective was another one; start a "
                "new run, or resume it with that version"
            )

    def _check_arguments(self, stored: dict[str, Any]) -> None:
        """Refuse arguments that a resumed run would ignore: the checkpoint decides optimizers and schedulers."""
        theirs, ours = _flat(present_arguments(stored, self.hparams)), _flat(dict(self.hparams))
        for name in theirs.keys() & ours.keys():
            if theirs[name] != ours[name]:
                linked = name.endswith(("T_max", "annealing_epochs"))
                which = f"{name} (which is trainer.max_epochs)" if linked else name
                raise CheckpointError(
                    f"the run of the checkpoint has {which} {theirs[name]!r}, this one {ours[name]!r}; resume with "
                    "what it began with or start a new run"
                )

    def _check_data(self, name: str, stored: dict[str, Any], fix: str) -> None:
        ours = self._of_data(name)
        if ours is not None and stored[name] is not None and ours != stored[name]:
            raise CheckpointError(
                f"the checkpoint was trained with {name} {stored[name]!r}, this run has {ours!r}; {fix}"
            )

    def _of_data(self, name: str) -> Any:  # noqa: ANN401  # plain JSON values
        """Return an attribute of the attached datamodule; None without one."""
        datamodule = None if self._trainer is None else getattr(self._trainer, "datamodule", None)
        return getattr(datamodule, name, None)


def project_given(
    image: Tensor | None, text: Tensor | None, image_projection: nn.Module, text_projection: nn.Module
) -> tuple[Tensor, Tensor]:
    """Project both embeddings to tensors of equal shape; zeros for a missing one.

    Raises:
        ValueError: If both are missing.
    """
    if image is not None:
        projected = image_projection(image)
        return projected, torch.zeros_like(projected) if text is None else text_projection(text)
    if text is None:
        raise ValueError("encode needs an image, a text or both")
    projected = text_projection(text)
    return torch.zeros_like(projected), projected


def _flat(arguments: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested arguments to dotted names, without the functions that Python callers give."""
    flat: dict[str, Any] = {}
    for name, value in arguments.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        elif not callable(value):
            flat[prefix + name] = value
    return flat


def _not_finite(batch: FeatureBatch, terms: dict[str, Tensor], ids: Sequence[str] | None) -> str:
    """Write the message for a loss that is not finite: which terms, which samples, what to do."""
    names = ", ".join(name for name, term in terms.items() if not torch.isfinite(term)) or "their sum"
    broken = ~(torch.isfinite(batch["image"]).all(dim=1) & torch.isfinite(batch["text"]).all(dim=1))
    index = batch["index"]
    if broken.any():
        return (
            f"the loss is not finite ({names}): the embeddings of the training pairs {_listed(index[broken], ids)} "
            "hold NaN or infinity; encode the data again or leave these pairs out"
        )
    return (
        f"the loss is not finite ({names}) although the embeddings are, in the batch of the training pairs "
        f"{_listed(index, ids)}; the weights have diverged: lower the learning rate, raise the temperature or train in "
        "32-bit precision"
    )


def _listed(index: Tensor, ids: Sequence[str] | None) -> str:
    """List the first of them, by id if ids are known, and how many more."""
    values = index[:_MOST_NAMED].tolist()
    rest = len(index) - len(values)
    named = [str(value) if ids is None else ids[value] for value in values]
    return ("with index " if ids is None else "") + ", ".join(named) + (f" and {rest} more" if rest else "")
