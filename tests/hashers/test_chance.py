"""What must be at chance is: an untrained model, and one trained on pairs that were shuffled.

``test_demo.py`` says the same of the phantom's real embeddings.
"""

import numpy as np
import pytest

from tests.conftest import CHANCE_SEEDS

pytestmark = pytest.mark.slow
EPOCHS = 12


def test_untrained_model_is_at_chance(features, chance_leads, at_chance):
    """Over four times the seeds, which cost no training: the interval is half as wide."""
    leads = chance_leads(lambda seed: features, 0, range(4 * len(CHANCE_SEEDS)))
    assert at_chance(leads), leads


def test_shuffled_pairs_are_at_chance(features, shuffle_images, chance_leads, at_chance, tmp_path):
    """Each seed has its own shuffle: a single one holds chance correlations that every seed would learn."""
    leads = chance_leads(lambda seed: shuffle_images(features, tmp_path / str(seed), seed), EPOCHS)
    assert at_chance(leads), leads


def test_true_pairs_are_far_from_chance(features, chance_leads, at_chance):
    """Three seeds are enough: each leads by far."""
    leads = chance_leads(lambda seed: features, EPOCHS, range(3))
    assert not at_chance(leads)
    assert np.min(leads) > 0.3, leads
