"""What must be at chance is: an untrained model, and one trained on pairs that were shuffled.

``test_demo.py`` says the same of the phantom's real embeddings.
"""

import numpy as np
import pytest

pytestmark = pytest.mark.slow


def test_untrained_model_is_at_chance(features, chance_leads, at_chance):
    leads = chance_leads(lambda seed: features, 0)
    assert at_chance(leads), leads


def test_shuffled_pairs_are_at_chance(features, shuffle_images, chance_leads, at_chance, tmp_path):
    """Each seed has its own shuffle: a single one holds chance correlations that every seed would learn."""
    leads = chance_leads(lambda seed: shuffle_images(features, tmp_path / str(seed), seed), 6)
    assert at_chance(leads), leads


def test_true_pairs_are_far_from_chance(features, chance_leads, at_chance):
    leads = chance_leads(lambda seed: features, 6)
    assert not at_chance(leads)
    assert np.min(leads) > 0.3, leads
