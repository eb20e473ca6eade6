import torch

from mcmfh_lightning.layers import Projection


def test_scale_and_offset_of_an_embedding_do_not_matter():
    torch.manual_seed(0)
    projection = Projection(12, 4).double()
    embedding = torch.randn(3, 12, dtype=torch.float64)
    torch.testing.assert_close(projection(embedding), projection(1000 * embedding + 7), atol=1e-4, rtol=1e-4)


def test_it_is_linear_in_the_standardized_embedding():
    torch.manual_seed(0)
    projection = Projection(12, 4).double()
    embedding = torch.randn(3, 12, dtype=torch.float64)
    standardized = (embedding - embedding.mean(1, keepdim=True)) / embedding.std(1, correction=0, keepdim=True)
    expected = standardized @ projection.linear.weight.T + projection.linear.bias
    torch.testing.assert_close(projection(embedding), expected, atol=1e-4, rtol=1e-4)
