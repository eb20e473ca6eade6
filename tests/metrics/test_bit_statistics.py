"""Statistics of codes against NumPy."""

import numpy as np
import pytest
import torch

from mcmfh_lightning.metrics.functional import bit_statistics, pack_signs


@pytest.mark.parametrize(("items", "bits"), [(50, 5), (200, 16), (31, 64)])
def test_against_numpy(items, bits):
    rng = np.random.default_rng(bits)
    relaxed = rng.normal(0.3, 1.0, (items, bits))
    relaxed[items // 2 :] = relaxed[0]  # half of the items share one code
    relaxed[:, 3] = 0.0  # 0 counts as +1, so that this bit is constant
    found = bit_statistics(pack_signs(torch.from_numpy(relaxed)), bits)
    signs = np.where(relaxed >= 0, 1.0, -1.0)
    np.testing.assert_allclose(found.means, signs.mean(0), atol=1e-15)
    varying = np.array([bit for bit in range(bits) if signs[:, bit].std() > 0])
    expected = np.corrcoef(signs[:, varying].T)
    np.testing.assert_allclose(found.correlations[varying][:, varying], expected, atol=1e-12)
    assert found.correlations[3].isnan().all()
    assert found.correlations[:, 3].isnan().all()
    assert found.balance == pytest.approx(np.abs(signs.mean(0)).mean())
    assert found.correlation == pytest.approx(np.abs(expected[np.triu_indices(len(varying), 1)]).mean())
    assert found.constant == sorted(set(range(bits)) - set(varying.tolist()))
    counts = np.unique(signs, axis=0, return_counts=True)[1]
    assert (found.distinct, found.largest) == (len(counts), counts.max())


def test_codes_that_are_all_equal_have_no_correlation():
    found = bit_statistics(torch.tensor([[0b10100000]] * 7, dtype=torch.uint8), num_bits=4)
    assert np.isnan(found.correlation)
    assert (found.balance, found.constant, found.distinct, found.largest) == (1.0, [0, 1, 2, 3], 1, 7)
