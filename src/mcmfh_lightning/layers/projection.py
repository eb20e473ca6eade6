"""From an encoder's embedding to the width all methods share."""

from torch import Tensor, nn
from torch.nn.functional import layer_norm


class Projection(nn.Module):
    """Learned linear map of an embedding to ``d_model``, the same for every method.

    The embedding first passes a LayerNorm without parameters (Ba et al., 2016): it is centred and scaled to unit
    variance per sample. Encoders differ in scale (contrastive ones return unit vectors, pooled convolutional features
    are all positive and large); without a common scale one learning rate could not suit them all. L2 normalisation
    would give entries of size 1/sqrt(d) and leave the shared positive offset of pooled features in place.

    Args:
        input_dim: Width of the embedding.
        d_model: Width of the result.
    """

    def __init__(self, input_dim: int, d_model: int) -> None:
        super().__init__()
        self.linear = nn.Linear(input_dim, d_model)

    def forward(self, embedding: Tensor) -> Tensor:
        """Map (B, input_dim) to (B, d_model)."""
        projected: Tensor = self.linear(layer_norm(embedding, embedding.shape[-1:]))
        return projected
