"""Relevant items should come before others by a margin."""

from torch import Tensor
from torch.nn.functional import normalize


def semi_hard_triplet(codes: Tensor, similar: Tensor, dissimilar: Tensor, margin: float) -> Tensor:
    """Mean hinge over semi-hard triplets: the negative is farther than the positive, but by less than the margin.

    Schroff et al. (FaceNet), CVPR 2015, section 3.2, with the cosine distance d = 1 - cos and every semi-hard triplet
    of the batch: mean of d(a, p) - d(a, n) + margin over those with d(a, p) < d(a, n) < d(a, p) + margin.

    Args:
        codes: (B, K).
        similar: (B, B) bool; the diagonal does not count.
        dissimilar: (B, B) bool.
        margin: > 0.

    Returns:
        Scalar in [0, margin); 0 (with a zero gradient) without such a triplet.
    """
    unit = normalize(codes, dim=-1)
    distance = 1 - unit @ unit.T
    similar = similar.clone().fill_diagonal_(fill_value=False)
    gap = distance[:, None, :] - distance[:, :, None]  # (anchor, positive, negative)
    semi_hard = similar[:, :, None] & dissimilar[:, None, :] & (gap > 0) & (gap < margin)
    return ((margin - gap) * semi_hard).sum() / semi_hard.sum().clamp(min=1)
