"""CCA-ITQ: linear hashing of pairs in closed form."""

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from mcmfh_lightning.hashers.base import Objective
from mcmfh_lightning.hashers.two_tower import Towers
from mcmfh_lightning.losses import gather_rows
from mcmfh_lightning.types import EvaluationOutput, FeatureBatch

ITERATIONS = 50
NO_VARIANCE = 1e-12
"""Share of the largest variance below which a direction has none."""


class CCAITQ(Towers):
    """Canonical correlation analysis, then the rotation that loses least by taking signs; pairs only, no gradients.

    The directions along which images and texts of pairs correlate most (Hotelling, Biometrika 1936, with a ridge) are
    rotated together by iterative quantization, alternating B = sign(V R) and the orthogonal R nearest to it (Gong &
    Lazebnik, CVPR 2011, section 3; of CCA directions: section 5), over the projections of both modalities.

    Fitting takes two epochs: covariances in the first, projections for the rotation in the second.

    Args:
        num_bits: Bits of a code, at most the width of the narrower embedding.
        image_dim: Width of the image embeddings.
        text_dim: Width of the text embeddings.
        ridge: Added to the variances, in units of their mean.
        seed: Seed of the first rotation.

    Raises:
        ValueError: If there are fewer directions than bits.
    """

    def __init__(self, num_bits: int, image_dim: int, text_dim: int, ridge: float = 0.1, seed: int = 0) -> None:
        # Nothing learns by gradients; but Lightning counts steps, by which ModelCheckpoint goes, by optimizer steps.
        super().__init__(
            {"num_bits": num_bits, "image_dim": image_dim, "text_dim": text_dim}, torch.optim.SGD, lr_scheduler=None
        )
        if num_bits > min(image_dim, text_dim):
            raise ValueError(
                f"num_bits={num_bits} needs as many directions, embeddings of {image_dim} and {text_dim} have fewer"
            )
        self.save_hyperparameters()
        self.automatic_optimization = False
        self.ridge = ridge
        self.seed = seed
        self.steps = nn.Parameter(torch.zeros(()))
        both = image_dim + text_dim
        self.covariance = _zeros(both, both)
        self.total = _zeros(both)
        self.count = _zeros()
        self.image_mean, self.text_mean = _zeros(image_dim), _zeros(text_dim)
        self.image_weight, self.text_weight = _zeros(image_dim, num_bits), _zeros(text_dim, num_bits)
        self.rotation: Tensor = nn.Buffer(torch.eye(num_bits, dtype=torch.float64))
        self._projected: list[Tensor] = []

    def image_tower(self, image: Tensor) -> Tensor:
        """Map (B, image_dim) to relaxed codes, (B, num_bits)."""
        return self._project_image(image).tanh()

    def text_tower(self, text: Tensor) -> Tensor:
        """Map (B, text_dim) to relaxed codes, (B, num_bits)."""
        return self._project_text(text).tanh()

    def objective(self, batch: FeatureBatch) -> Objective:
        """Compute the distance of the rotated projections to their signs, which the rotation makes small."""
        projections = torch.cat([self._project_image(batch["image"]), self._project_text(batch["text"])])
        return Objective({"quantisation": (projections - _signs(projections)).square().mean()}, {})

    def evaluate(self, batch: FeatureBatch) -> EvaluationOutput:
        """Compute unimodal codes and, as the code of a case, that of the mean projection."""
        image, text = self._project_image(batch["image"]), self._project_text(batch["text"])
        return {"image": image.tanh(), "text": text.tanh(), "case": ((image + text) / 2).tanh()}

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Make an optimizer that changes nothing."""
        return torch.optim.SGD([self.steps], lr=0.0)

    @torch.no_grad()
    def training_step(self, batch: FeatureBatch, batch_idx: int) -> None:  # type: ignore[override]  # no loss
        """Add a global batch to the covariances, or keep its projections."""
        image, text = gather_rows(batch["image"]), gather_rows(batch["text"])
        if self.current_epoch == 0:
            rows = torch.cat([_scaled(image), _scaled(text)], dim=1)
            self.covariance += rows.T @ rows
            self.total += rows.sum(0)
            self.count += len(rows)
        else:
            self._projected += [self._project_image(image), self._project_text(text)]
        optimizer = self.optimizers()
        optimizer.step()  # type: ignore[union-attr]  # there is one

    def on_train_epoch_start(self) -> None:
        """Find the directions after the first epoch."""
        if self.current_epoch == 1:
            self._find_directions()

    def on_validation_start(self) -> None:
        """Use the statistics of the epoch: validation comes before its end."""
        if self.count > 0:
            self._finish()

    def on_train_epoch_end(self) -> None:
        """Use the statistics of the epoch in a run without validation."""
        self._finish()

    def _finish(self) -> None:
        if self._projected:
            self.rotation = _iterative_quantization(torch.cat(self._projected), self.seed)
            self._projected = []
        elif self.current_epoch == 0:
            self._find_directions()

    def _find_directions(self) -> None:
        width = len(self.image_mean)
        mean = self.total / self.count
        covariance = self.covariance / self.count - mean[:, None] * mean
        image, text, cross = covariance[:width, :width], covariance[width:, width:], covariance[:width, width:]
        whiten_image, whiten_text = _inverse_root(image, self.ridge), _inverse_root(text, self.ridge)
        left, _, right = torch.linalg.svd(whiten_image @ cross @ whiten_text, full_matrices=False)
        num_bits = self.image_weight.shape[1]
        self.image_mean, self.text_mean = mean[:width].clone(), mean[width:].clone()
        self.image_weight = whiten_image @ left[:, :num_bits]
        self.text_weight = whiten_text @ right[:num_bits].T

    def _project_image(self, image: Tensor) -> Tensor:
        return (_scaled(image) - self.image_mean) @ self.image_weight @ self.rotation

    def _project_text(self, text: Tensor) -> Tensor:
        return (_scaled(text) - self.text_mean) @ self.text_weight @ self.rotation


def _zeros(*shape: int) -> Tensor:
    """Make a buffer of zeros in double precision."""
    return nn.Buffer(torch.zeros(shape, dtype=torch.float64))


def _scaled(embedding: Tensor) -> Tensor:
    """Normalize as `Projection` does before its weights."""
    return layer_norm(embedding.double(), embedding.shape[-1:])


def _signs(values: Tensor) -> Tensor:
    return torch.where(values >= 0, 1.0, -1.0).to(values)


def _inverse_root(covariance: Tensor, ridge: float) -> Tensor:
    identity = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
    values, vectors = torch.linalg.eigh(covariance + ridge * covariance.diagonal().mean() * identity)
    # Rows of a layer norm have a direction without variance, which must not be blown up to unit variance.
    roots = torch.where(values > NO_VARIANCE * values.max(), values.rsqrt(), 0.0)
    inverse: Tensor = vectors * roots @ vectors.T
    return inverse


def _iterative_quantization(rows: Tensor, seed: int) -> Tensor:
    """Find the rotation (K, K) that brings rows (N, K) near their signs."""
    num_bits = rows.shape[1]
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(num_bits, num_bits, generator=generator, dtype=torch.float64).to(rows.device)
    rotation: Tensor = torch.linalg.qr(start).Q
    for _ in range(ITERATIONS):
        left, _, right = torch.linalg.svd(rows.T @ _signs(rows @ rotation))
        rotation = left @ right
    return rotation
