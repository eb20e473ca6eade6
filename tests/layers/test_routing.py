import math

import pytest
import torch

from mcmfh_lightning.layers import Routing, tokens_per_expert, utilization


def routing(experts):
    experts = torch.tensor(experts)
    logits = torch.zeros(*experts.shape[:-1], 4)
    return Routing(logits, logits.softmax(-1), experts)


def test_tokens_are_counted_by_layer_and_modality():
    # Three tokens of each sample, two samples: the first two tokens hold the image, the third holds the text.
    layers = [routing([[[0], [1]], [[0], [3]], [[3], [3]]]), routing([[[1], [1]], [[1], [1]], [[1], [2]]])]
    counts = tokens_per_expert(layers, [(0,), (0,), (1,)])
    assert counts.dtype == torch.int64
    assert counts.tolist() == [[[2, 1, 0, 1], [0, 0, 0, 2]], [[0, 4, 0, 0], [0, 1, 1, 0]]]


def test_a_token_of_both_modalities_counts_for_each():
    counts = tokens_per_expert([routing([[[0]], [[1]], [[2]]])], [(0,), (1,), (0, 1)])
    assert counts.tolist() == [[[1, 0, 1, 0], [0, 1, 1, 0]]]


def test_a_modality_that_no_token_holds_has_counts_of_zero():
    assert tokens_per_expert([routing([[[2], [3]]])], [(1,)]).tolist() == [[[0, 0, 0, 0], [0, 0, 1, 1]]]


def test_with_top_k_every_assignment_counts():
    counts = tokens_per_expert([routing([[[0, 1]], [[2, 3]]])], [(0,), (1,)])
    assert counts.tolist() == [[[1, 1, 0, 0], [0, 0, 1, 1]]]


def test_utilization_is_the_perplexity_over_the_number_of_experts():
    counts = torch.tensor([[5, 5, 5, 5], [9, 0, 0, 0], [4, 4, 0, 0], [1, 3, 0, 0]])
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert utilization(counts).tolist() == pytest.approx([1.0, 0.25, 0.5, math.exp(entropy) / 4])
