"""End-to-end training: any method on raw pairs, with an encoder that learns."""

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import Any, Protocol

import torch
from torch import Tensor

from mcmfh_lightning.encoders.base import Encoder, add_trained, embed_pairs, train_only
from mcmfh_lightning.encoders.weights import check_tuned_on
from mcmfh_lightning.hashers.base import Codes, Hasher, Objective
from mcmfh_lightning.searches import SearchName
from mcmfh_lightning.types import EvaluationOutput, FeatureBatch, PairBatch


class MakeHasher(Protocol):
    """Maker of a hasher whose sizes are still open, such as ``partial(TwoTower, num_bits=16)``.

    It gets those of the three sizes that it has parameters for.
    """

    def __call__(self, *, image_dim: int, text_dim: int, num_labels: int) -> Hasher:
        """Make the hasher."""


class EndToEnd(Hasher):
    """Hasher and encoder that are trained together; takes `PairBatch` where a hasher takes `FeatureBatch`.

    The encoder stays in evaluation mode throughout. It draws no dropout, and its batch norms keep their pretrained
    statistics while their weights may be trained, so that an embedding never depends on its batch. Parts that are not
    trained never change, and no gradient is computed for them.

    Evaluation batches are embedded as they arrive: callbacks see embeddings, as from a datamodule of features. Random
    hyperplanes thus use the embeddings of the trained encoder, not those from before training.

    Checkpoints hold the weights of both and name the encoder; one of another hasher or encoder is refused.

    Args:
        hasher: Makes the hasher for embeddings of the encoder's widths. Its optimizer and scheduler are used for all.
        encoder: The encoder.
        trainable: Trained parts of the encoder: regular expressions of its parameters' names, or of parts that hold
            some (``image_tower.blocks.[56]``); an empty list freezes it.
        encoder_lr_scale: Learning rate of the encoder, in units of the hasher's.
        micro_batch_size: Pairs of a training step that each process embeds at a time, to save memory; None embeds all
            at once. The losses see the whole global batch either way, which ``accumulate_grad_batches`` would cut up.
        num_labels: Labels of the data, for a hasher that asks for them.

    Raises:
        ValueError: If an entry of ``trainable`` names nothing, the hasher does not learn by gradients, or
            ``micro_batch_size`` is less than 1.
    """

    _other_encoder = "name that encoder or train again"

    def __init__(
        self,
        hasher: MakeHasher,
        encoder: Encoder,
        trainable: Sequence[str],
        encoder_lr_scale: float = 0.1,
        micro_batch_size: int | None = None,
        num_labels: int | None = None,
    ) -> None:
        if micro_batch_size is not None and micro_batch_size < 1:
            raise ValueError(f"micro_batch_size={micro_batch_size} is less than 1")
        made = _make(hasher, image_dim=encoder.image_dim, text_dim=encoder.text_dim, num_labels=num_labels)
        name = type(made).__name__
        if not made.automatic_optimization:
            raise ValueError(
                f"{name} is fitted in closed form, not by gradients: encode the pairs with `mcmfh predict` and fit on "
                f"the features"
            )
        architecture = made.architecture | {"hasher": f"EndToEnd({name})"}
        super().__init__(architecture, made._make_optimizer, made._make_lr_scheduler)
        train_only(encoder, trainable)
        self.hasher = made
        self.distance, self.supervision = made.distance, made.supervision
        self.encoder = encoder.eval()
        self.encoder_lr_scale = encoder_lr_scale
        self.micro_batch_size = micro_batch_size
        self.routing_shape = getattr(made, "routing_shape", None)

    @property
    def unlearned(self) -> tuple[SearchName, ...]:
        """Searches that no loss of the hasher asks for."""
        return self.hasher.unlearned

    @unlearned.setter
    def unlearned(self, searches: tuple[SearchName, ...]) -> None:
        self.hasher.unlearned = searches

    def setup(self, stage: str) -> None:
        """Refuse an encoder that was tuned on what may be test pairs here.

        Raises:
            DataError: See `mcmfh_lightning.encoders.weights.check_tuned_on`.
        """
        check_tuned_on(self.encoder.identity, getattr(self.trainer, "datamodule", None))

    def encode(self, image: Tensor | None, text: Tensor | None) -> Codes:
        """Hash embeddings; see `Hasher.encode`."""
        return self.hasher.encode(image, text)

    def encode_query(self, search: SearchName, embedding: Tensor) -> Tensor:
        """Hash embeddings of queries; see `Hasher.encode_query`."""
        return self.hasher.encode_query(search, embedding)

    def objective(self, batch: FeatureBatch) -> Objective:
        """Compute the hasher's loss, on embeddings."""
        return self.hasher.objective(batch)

    def evaluate(self, batch: FeatureBatch) -> EvaluationOutput:
        """Compute the hasher's codes, of embeddings."""
        return self.hasher.evaluate(batch)

    def training_step(self, batch: PairBatch, batch_idx: int) -> Tensor:  # type: ignore[override]  # raw pairs
        """Embed a batch of pairs and train on it."""
        return super().training_step(embed_pairs(self.encoder, batch, self.micro_batch_size), batch_idx)

    def on_after_batch_transfer(self, batch: PairBatch, dataloader_idx: int) -> PairBatch | FeatureBatch:
        """Embed the batches of an evaluation; those of training are embedded in the step, where gradients flow."""
        if self.trainer.training:
            return batch
        with self.trainer.precision_plugin.forward_context():
            return embed_pairs(self.encoder, batch)

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Make the hasher's own optimizer, with one more group for the encoder."""
        optimizer = self.hasher.make_optimizer()
        add_trained(optimizer, self.encoder, self.encoder_lr_scale)
        return optimizer

    def _of_data(self, name: str) -> Any:  # noqa: ANN401  # plain JSON values
        """Return an attribute of the datamodule; the encoder is the module's own here."""
        return self.encoder.identity if name == "encoder" else super()._of_data(name)

    def save_training_state(self, checkpoint: dict[str, Any]) -> None:
        """Add what the hasher needs in a resumed run."""
        self.hasher.save_training_state(checkpoint)

    def load_training_state(self, checkpoint: Mapping[str, Any]) -> None:
        """Let the hasher take what it needs."""
        self.hasher.load_training_state(checkpoint)

    def adapt(self, state: Mapping[str, Tensor]) -> None:
        """Let the hasher take sizes from its part of the weights."""
        self.hasher.adapt({key.removeprefix("hasher."): state[key] for key in state if key.startswith("hasher.")})


def _make(hasher: MakeHasher, **sizes: int | None) -> Hasher:
    """Call with the sizes that are known and that it has parameters for."""
    # What jsonargparse makes of a config is a partial of its own functions, with the class among their arguments.
    classes = (one for one in getattr(hasher, "args", ()) if isinstance(one, type) and issubclass(one, Hasher))
    asked = signature(next(classes, hasher)).parameters
    make: Callable[..., Hasher] = hasher
    return make(**{name: size for name, size in sizes.items() if name in asked and size is not None})
