"""Contrastive loss in which rows of the same modality are negatives too."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    r"""Normalised temperature-scaled cross entropy over 2B views.

    With the 2B rows z of both views stacked, and p(i) the other view of row i,

    .. math:: L = -\frac{1}{2B} \sum_{i=1}^{2B} \log
       \frac{\exp(\cos(z_i, z_{p(i)}) / t)}{\sum_{k \ne i} \exp(\cos(z_i, z_k) / t)}

    (Chen et al. (SimCLR), ICML 2020, eq. 1): one cross entropy over a (2B, 2B) matrix. The only positive of a row is
    its other view.

    Args:
        first: (B, d).
        second: (B, d), the other view of each row.
        temperature: t > 0.

    Returns:
        Scalar >= 0; 0 for a single pair.
    """
    views = normalize(torch.cat([first, second]), dim=-1)
    logits = views @ views.T / temperature
    logits.fill_diagonal_(torch.finfo(logits.dtype).min)
    partner = torch.arange(len(views), device=views.device).roll(len(first))
    return cross_entropy(logits, partner)
