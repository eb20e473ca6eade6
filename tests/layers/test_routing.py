import math

import pytest
import torch

from mcmfh_lightning.layers import Routing, tokens_per_expert, tokens_with_content, utilization

PRESENT = torch.tensor([[True, False], [False, True], [True, True]])


def routing(experts):
    experts = torch.tensor(experts)
    logits = torch.zeros(*experts.shape[:-1], 4)
    return Routing(logits, logits.softmax(-1), experts)


def test_tokens_are_counted_by_modality_and_placeholders_are_not():
    layers = [routing([[[0], [1]], [[2], [3]], [[0], [3]]]), routing([[[1], [1]], [[1], [1]], [[1], [1]]])]
    counts = tokens_per_expert(layers, PRESENT)
    assert counts.dtype == torch.int64
    assert counts.tolist() == [[[2, 0, 0, 0], [0, 0, 0, 2]], [[0, 2, 0, 0], [0, 2, 0, 0]]]


def test_a_token_of_both_modalities_counts_for_each_that_is_present():
    counts = tokens_per_expert([routing([[[0]], [[1]], [[2]]])], PRESENT)
    assert counts.tolist() == [[[1, 0, 1, 0], [0, 1, 1, 0]]]


def test_with_top_k_every_assignment_counts():
    counts = tokens_per_expert([routing([[[0, 1], [2, 3]]])], torch.tensor([[True, True]]))
    assert counts.tolist() == [[[1, 1, 0, 0], [0, 0, 1, 1]]]


def test_tokens_with_content_leaves_out_placeholders():
    values = torch.arange(6).reshape(3, 2, 1)
    assert tokens_with_content(values, PRESENT).flatten().tolist() == [0, 3, 4, 5]
    assert tokens_with_content(values[:, :1], PRESENT).flatten().tolist() == [0, 2, 4]


def test_utilization_is_the_perplexity_over_the_number_of_experts():
    counts = torch.tensor([[5, 5, 5, 5], [9, 0, 0, 0], [4, 4, 0, 0], [1, 3, 0, 0]])
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert utilization(counts).tolist() == pytest.approx([1.0, 0.25, 0.5, math.exp(entropy) / 4])
