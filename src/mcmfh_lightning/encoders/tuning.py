"""Fine-tuning of an image tower on the labels and reports of the training split."""

import logging
from collections.abc import Sequence
from typing import cast

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from mcmfh_lightning.datamodules.pairs import PairDataModule
from mcmfh_lightning.encoders.augmentation import augment_films
from mcmfh_lightning.encoders.base import add_trained, train_only
from mcmfh_lightning.encoders.two_towers import TwoTowerEncoder
from mcmfh_lightning.encoders.weights import TunedOn, check_tuned_on, save_tuned, tuned_on_of
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.losses import find_positives, gather_rows, info_nce
from mcmfh_lightning.metrics.functional import unpack_bits
from mcmfh_lightning.randomness import SampleKey
from mcmfh_lightning.trainer.run_files import run_folder
from mcmfh_lightning.types import PairBatch

TUNED_TOWER = "image_tower.safetensors"
"""File in the folder of the run."""
MONITOR = "val/auc"
"""Metric that selects the epoch."""
_TOWER = "encoder.image_tower."
_TEMPERATURE = 0.1
"""Of the loss of the reports. With it and the default weight, both losses pull the embeddings of ImageNet's tower about
equally, once the heads are fitted."""

_log = logging.getLogger(__name__)


class ImageTowerTuning(LightningModule):
    """Module that trains an image tower on labels and reports, and saves it for `TwoTowerEncoder`.

    A linear head on the embeddings predicts every label (binary cross entropy). Another one draws them to the
    embeddings of their reports by the text tower, which is frozen (`mcmfh_lightning.losses.info_nce` in the global
    batch; films of one group or with one text are positives of each other). Both heads are dropped at the end: the
    weights of the best checkpoint (of the last step without checkpoints) are written to ``image_tower.safetensors`` in
    the folder of the run, with the names of timm, the data set they were tuned on and the preparation of its pictures.
    A tower that was tuned before can be tuned again, also on another data set; the file names both. A
    ``fast_dev_run`` writes nothing.

    Images and reports of other splits are never trained on. Films of training change at random (`augment_films`), all
    others stay as they are. Logged on validation pairs: ``val/loss`` of the labels and ``val/auc``, the mean area
    under the ROC curve of the labels that some but not all of them have.

    As in `mcmfh_lightning.hashers.EndToEnd`, the tower stays in evaluation mode: batch norms keep their pretrained
    statistics, and an embedding never depends on its batch.

    Args:
        encoder: Encoder whose image tower is tuned.
        num_labels: Number of labels of the data set.
        trainable: Parts of the encoder that are trained, see `mcmfh_lightning.hashers.EndToEnd`.
        balance: Exponent b of the weight (without / with)^b of pairs with a label, where ``with`` and ``without`` count
            training pairs: from 0 (all pairs have equal weight) to 1 (both classes have equal weight).
        encoder_lr_scale: Learning rate of the tower, relative to that of the heads.
        optimizer: Function that makes the optimizer from the parameters.
        lr_scheduler: Function that makes a scheduler, which is stepped once an epoch.
        report_weight: Weight of the loss of the reports; that of the labels has the weight 1. With 0 no text is read.
        augmentation: Strength of the random changes of training films; 0 trains on them as they are.
        seed: Seed of these changes.

    Raises:
        ValueError: If an entry of ``trainable`` matches nothing or a part of the text tower, ``balance`` is outside
            [0, 1], or ``report_weight`` or ``augmentation`` is negative.
    """

    positive_weight: Tensor

    def __init__(
        self,
        encoder: TwoTowerEncoder,
        num_labels: int,
        trainable: Sequence[str],
        balance: float = 0.5,
        encoder_lr_scale: float = 0.1,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        lr_scheduler: LRSchedulerCallable | None = None,
        report_weight: float = 0.2,
        augmentation: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not 0.0 <= balance <= 1.0:
            raise ValueError(f"balance={balance} is outside [0, 1]")
        for name, value in (("report_weight", report_weight), ("augmentation", augmentation)):
            if value < 0.0:
                raise ValueError(f"{name}={value} is negative")
        train_only(encoder, trainable)
        if any(parameter.requires_grad for parameter in encoder.text_tower.parameters()):
            raise ValueError(f"trainable {list(trainable)} names parts of the text tower, which stays frozen here")
        self.encoder = encoder.eval()
        self.encoder.to(memory_format=torch.channels_last)  # a step takes three quarters of the time
        self.head = nn.Linear(encoder.image_dim, num_labels)
        self.report_head = nn.Linear(encoder.image_dim, encoder.text_dim) if report_weight else None
        self.report_weight = report_weight
        self.augmentation = augmentation
        self.seed = seed
        self._reports: dict[int, Tensor] = {}  # (text_dim,) by the hash of the text
        self.balance = balance
        self.encoder_lr_scale = encoder_lr_scale
        self.register_buffer("positive_weight", torch.ones(num_labels))
        self._make_optimizer = optimizer
        self._make_lr_scheduler = lr_scheduler

    def setup(self, stage: str) -> None:
        """Weight the labels by their training pairs, and find those that some but not all validation pairs have.

        Raises:
            DataError: If the data are not pairs, or validation has fewer than two such labels.
        """
        check_tuned_on(self.encoder.identity, self._data)
        labels = self._labels("train")
        carriers = labels.sum(0)
        others = len(labels) - carriers
        self.positive_weight = (others.clamp(min=1) / carriers.clamp(min=1)) ** self.balance
        labels = self._labels("val")
        self._known = (labels.any(0) & ~labels.all(0)).nonzero()[:, 0]
        if len(self._known) < 2:
            raise DataError(
                f"{self._data.root}: fewer than two labels are on some validation pairs and not on all: split the "
                f"collection again"
            )
        from torchmetrics.classification import MultilabelAUROC  # with much that only tuning needs

        self._auc = MultilabelAUROC(len(self._known))

    def training_step(self, batch: PairBatch, batch_idx: int) -> Tensor:
        """Predict the labels from the images, and find the reports among those of the batch."""
        images = batch["image"]
        if self.augmentation:
            key = SampleKey(torch.tensor(self.global_step), batch["index"])
            images = augment_films(images, self.augmentation, seed=self.seed, key=key)
        embedding = self.encoder.encode_image(images)  # (B, image_dim); every pair has an image here
        loss = self._loss(self.head(embedding), self._targets(batch))
        if self.report_head is not None:
            reports = self._match_reports(self.report_head(embedding), batch)
            self.log("train/reports", reports.detach())
            loss = loss + self.report_weight * reports
        self.log("train/loss", loss.detach(), prog_bar=True)
        return loss

    def validation_step(self, batch: PairBatch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Predict the labels of the whole pairs of the validation split: the first loader; the second repeats them."""
        if dataloader_idx > 0 or self.trainer.sanity_checking:
            return
        logits, labels = self.head(self.encoder.encode_image(batch["image"])), self._targets(batch)
        self._auc.update(logits[:, self._known], labels[:, self._known].long())
        loss = self._loss(logits, labels)
        self.log("val/loss", loss, batch_size=len(labels), add_dataloader_idx=False, prog_bar=True, sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        """Log the mean area under the ROC curve."""
        if not self.trainer.sanity_checking:
            self.log(MONITOR, self._auc.compute(), prog_bar=True, sync_dist=True)
            self._auc.reset()

    def on_fit_end(self) -> None:
        """Save the tower."""
        folder = run_folder(self.trainer)
        if self.trainer.is_global_zero and not self.trainer.fast_dev_run:  # type: ignore[attr-defined]  # set at run time
            folder.mkdir(parents=True, exist_ok=True)
            save_tuned(folder / TUNED_TOWER, self._best_tower(), self._tuned_on())
            _log.info("wrote the tuned image tower to %s", folder / TUNED_TOWER)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Make one optimizer with a learning rate for the heads and one for the tower."""
        optimizer = self._make_optimizer(
            [*self.head.parameters(), *(self.report_head.parameters() if self.report_head else ())]
        )
        add_trained(optimizer, self.encoder, self.encoder_lr_scale)
        if self._make_lr_scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self._make_lr_scheduler(optimizer)}}

    @property
    def _data(self) -> PairDataModule:
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, PairDataModule):
            raise DataError(f"a tower is tuned on pairs: set data to PairDataModule (found {type(data).__name__})")
        return data

    def _labels(self, split: str) -> Tensor:
        """Return the labels of the whole pairs of a split, (N, num_labels) bool."""
        table = self._data.reader(split)
        return unpack_bits(torch.from_numpy(table.labels[table.present.all(1)]))[:, : self.head.out_features].bool()

    def _targets(self, batch: PairBatch) -> Tensor:
        """Return the labels of a batch, (B, num_labels) float."""
        return unpack_bits(batch["labels"])[:, : self.head.out_features].to(self.head.weight.dtype)

    def _match_reports(self, images: Tensor, batch: PairBatch) -> Tensor:
        """Compute the contrastive loss of (B, text_dim) images and their reports, in the batch of all ranks."""
        texts = gather_rows(batch["text_hash"])
        same_group, _ = find_positives(gather_rows(batch["labels"]), gather_rows(batch["group"]), "pairs")
        positives = same_group | (texts[:, None] == texts)
        return info_nce(gather_rows(images), gather_rows(self._embed_reports(batch)), positives, _TEMPERATURE)

    @torch.no_grad()
    def _embed_reports(self, batch: PairBatch) -> Tensor:
        """Return the frozen embeddings of the reports of a batch, (B, text_dim); each text is embedded once in a run.

        It is embedded alone and without padding: so it has the same digits in any batch, also after a resume.
        """
        rows = cast("dict[str, Tensor]", batch["text"])
        hashes = batch["text_hash"].tolist()
        for row, text in enumerate(hashes):
            if text not in self._reports:
                alone = {name: column[row : row + 1] for name, column in rows.items()}
                self._reports[text] = self.encoder.encode_text(alone)[0]
        return torch.stack([self._reports[text] for text in hashes])

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return binary_cross_entropy_with_logits(logits, labels, pos_weight=self.positive_weight)

    def _tuned_on(self) -> TunedOn:
        """Describe the data of this run, and what the tower was tuned on before."""
        image_size, whole_image = self.encoder.image_size, self.encoder.whole_image
        return TunedOn.of(self._data)._replace(
            image_size=image_size, whole_image=whole_image, before=tuned_on_of(self.encoder.identity)
        )

    def _best_tower(self) -> dict[str, Tensor]:
        """Return the weights of the image tower in the best checkpoint, or the current ones without a checkpoint."""
        keeper = self.trainer.checkpoint_callback
        best = keeper.best_model_path if isinstance(keeper, ModelCheckpoint) else ""
        state = torch.load(best, map_location="cpu", weights_only=True)["state_dict"] if best else self.state_dict()
        return {name.removeprefix(_TOWER): value for name, value in state.items() if name.startswith(_TOWER)}
