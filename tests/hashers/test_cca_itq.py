"""Against scipy-free oracles: correlations by definition, the rotation by what it minimizes."""

import numpy as np
import pytest
import torch

from mcmfh_lightning.hashers import CCAITQ

SIZES = {"num_bits": 4, "image_dim": 10, "text_dim": 6}


@pytest.fixture
def fitted(make_data, make_trainer):
    model, data = CCAITQ(**SIZES, ridge=0.0), make_data(num_batches=40)
    make_trainer(max_epochs=2).fit(model, datamodule=data)
    rows = [
        torch.nn.functional.layer_norm(torch.cat([batch[name] for batch in data.batches]).double(), (width,)).numpy()
        for name, width in (("image", 10), ("text", 6))
    ]
    return model, rows, data


def canonical_correlations(first, second):
    """Cosines of the principal angles between the column spaces: by QR, with no covariance anywhere."""
    bases = []
    for rows in (first, second):
        left, values, _ = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
        bases.append(left[:, values > 1e-9 * values[0]])  # rows of a layer norm have one dimension less
    return np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)


def test_projections_have_the_canonical_correlations(fitted):
    model, (image, text), _ = fitted
    first = (image - image.mean(0)) @ model.image_weight.numpy()
    second = (text - text.mean(0)) @ model.text_weight.numpy()
    found = [np.corrcoef(first[:, k], second[:, k])[0, 1] for k in range(4)]
    np.testing.assert_allclose(found, canonical_correlations(image, text)[:4], atol=1e-6)
    np.testing.assert_allclose(first.T @ first / len(first), np.eye(4), atol=1e-6)


def test_the_rotation_is_orthogonal_and_loses_less_than_random_ones(fitted):
    model, (image, text), _ = fitted
    rotation = model.rotation.numpy()
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(4), atol=1e-9)
    projected = np.concatenate(
        [(image - image.mean(0)) @ model.image_weight.numpy(), (text - text.mean(0)) @ model.text_weight.numpy()]
    )

    def loss(turn):
        turned = projected @ turn
        return np.square(np.where(turned >= 0, 1, -1) - turned).mean()

    rng = np.random.default_rng(0)
    others = [loss(np.linalg.qr(rng.normal(size=(4, 4)))[0]) for _ in range(200)]
    assert loss(rotation) <= min(others) + 1e-3


def test_a_checkpoint_is_written_and_restored(fitted, make_data, make_trainer, make_batch, tmp_path):
    _, _, data = fitted
    trainer = make_trainer(max_epochs=2)
    trainer.fit(CCAITQ(**SIZES), datamodule=data)
    assert trainer.global_step == 80  # ModelCheckpoint goes by steps
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    restored = CCAITQ.load_from_checkpoint(tmp_path / "model.ckpt", weights_only=True)
    batch = make_batch()
    assert torch.equal(restored.evaluate(batch)["image"], trainer.lightning_module.evaluate(batch)["image"])


def test_more_bits_than_directions_are_refused():
    with pytest.raises(ValueError, match="num_bits=7"):
        CCAITQ(num_bits=7, image_dim=10, text_dim=6)
