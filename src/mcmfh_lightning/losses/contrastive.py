"""Contrastive losses of two views, and the training objective that MCMFH and TwoTower share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from mcmfh_lightning.errors import check_choice
from mcmfh_lightning.losses.average_precision import average_precision_loss
from mcmfh_lightning.losses.batch import Positives, Supervision, find_positives, gather_rows, weighted_mean
from mcmfh_lightning.losses.regularizers import bit_balance, quantization
from mcmfh_lightning.randomness import SampleKey, keyed_mask
from mcmfh_lightning.searches import SEARCHES, SearchName

HashingLoss = Literal["info_nce", "average_precision", "both"]
# Other masks than those of the voting MLP, which has the same seed.
_IMAGE_SALT, _TEXT_SALT = 0x494D47, 0x545854


def info_nce(
    first: Tensor,
    second: Tensor,
    positives: Tensor,
    temperature: float,
    ignored: Tensor | None = None,
) -> Tensor:
    r"""Compute the symmetric multi-positive InfoNCE on cosine similarities.

    For row i of ``first`` with positives P(i) among the rows of ``second``,

    .. math:: L_i = -\frac{1}{|P(i)|} \sum_{p \in P(i)} \log \frac{\exp(s_{ip} / t)}{\sum_{k} \exp(s_{ik} / t)}

    averaged over rows that have positives; then the same from ``second`` to ``first``, and the mean
    of both. k runs over all columns that are not ignored. InfoNCE: van den Oord et al., 2018, eq. 4; the average over
    positives outside the logarithm: Khosla et al. ("Supervised contrastive learning"), NeurIPS 2020, eq. 2; symmetric
    between modalities: Radford et al. (CLIP), ICML 2021.

    Args:
        first: (N, d).
        second: (M, d).
        positives: (N, M) bool.
        temperature: t > 0.
        ignored: (N, M) bool: entries that are neither positive nor negative. A positive is never ignored.

    Returns:
        Scalar; 0 (with a zero gradient) if no row has a positive.
    """
    logits = _logits(first, second, positives, temperature, ignored)
    return 0.5 * (_one_way(logits, positives, None) + _one_way(logits.T, positives.T, None))


def _logits(first: Tensor, second: Tensor, positives: Tensor, temperature: float, ignored: Tensor | None) -> Tensor:
    """Compute cosines over the temperature, (..., N, M), of which what is ignored weighs nothing."""
    logits = normalize(first, dim=-1) @ normalize(second, dim=-1).mT / temperature
    if ignored is not None:
        # The lowest finite number, not -inf: a row of which everything is ignored would be NaN in the backward pass.
        logits = logits.masked_fill(ignored & ~positives, torch.finfo(logits.dtype).min)
    return logits


def _one_way(logits: Tensor, positives: Tensor, weight: Tensor | None) -> Tensor:
    log_probabilities = logits.log_softmax(dim=-1).masked_fill(~positives, 0.0)
    counts = positives.sum(dim=-1)
    return weighted_mean(-log_probabilities.sum(dim=-1) / counts.clamp(min=1), counts > 0, weight)


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    r"""Compute the normalized temperature-scaled cross entropy over 2B views.

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


class CodesOfBatch(NamedTuple):
    """Relaxed codes of a training batch.

    Attributes:
        queries: (B, num_bits) by search, of the image or the text alone.
        items: (B, num_bits) by what is searched: ``image``, ``text`` and ``case``.
    """

    queries: Mapping[SearchName, Tensor]
    items: Mapping[str, Tensor]

    def gathered(self) -> "CodesOfBatch":
        """Concatenate the rows of all ranks, of all codes at once."""
        codes = iter(gather_rows(torch.stack([*self.queries.values(), *self.items.values()], dim=1)).unbind(1))
        return CodesOfBatch({name: next(codes) for name in self.queries}, {name: next(codes) for name in self.items})


@dataclass(frozen=True, kw_only=True)
class ContrastiveLoss:
    """Objective that draws the queries of every search to the items that they should find.

    Its fields are hyper-parameters of the hashers that use it: they take them as keyword arguments and pass them on.

    Args:
        supervision: ``pairs`` (a pair and its group) or ``labels`` (pairs that share a label as well) are positives.
        hashing_loss: ``info_nce`` (contrastive), ``average_precision`` (the relaxation of tie-aware mAP@all) or the sum
            of ``both``.
        temperature: Temperature of every InfoNCE.
        i2t_weight: Weight of the search from images to texts in the hashing loss, which is the mean over the searches
            by these six weights. Queries of a search of weight 0 have the codes of items: its head learns nothing.
        t2i_weight: Weight of the search from texts to images.
        i2i_weight: Weight of the search from images to images of other pairs.
        t2t_weight: Weight of the search from texts to texts of other pairs.
        i2case_weight: Weight of the search from images to cases.
        t2case_weight: Weight of the search from texts to cases.
        normal_weight: How much a pair with the collection's normal label counts as a query of the hashing loss, where
            labels supervise: half of a collection may be normal, and no user searches for it. As items of other
            queries' rankings these pairs count in full. Without effect where no label is normal.
        image_dropout: Chance that a number of an image embedding is dropped in training, in [0, 1).
        text_dropout: Chance that a number of a text embedding is dropped in training, in [0, 1).
        quantization_weight: Weight of the pull towards -1 and +1.
        bit_balance_weight: Weight of the pull towards balanced bits.

    Raises:
        ValueError: If a word is unknown, the temperature is not positive, a weight is negative, no search has a weight
            or a rate is outside [0, 1).
    """

    supervision: Supervision = "labels"
    hashing_loss: HashingLoss = "both"
    temperature: float = 0.5
    i2t_weight: float = 1.0
    t2i_weight: float = 1.0
    i2i_weight: float = 1.0
    t2t_weight: float = 1.0
    i2case_weight: float = 1.0
    t2case_weight: float = 1.0
    normal_weight: float = 0.0
    image_dropout: float = 0.5
    text_dropout: float = 0.1
    quantization_weight: float = 0.1
    bit_balance_weight: float = 0.1

    def __post_init__(self) -> None:
        check_choice("supervision", self.supervision, Supervision)
        check_choice("hashing_loss", self.hashing_loss, HashingLoss)
        check_temperature(self.temperature)
        for name in ("normal_weight", *(f"{search}_weight" for search in SEARCHES)):
            if getattr(self, name) < 0.0:
                raise ValueError(f"{name}={getattr(self, name)} is negative")
        if not any(self.search_weights):
            raise ValueError("the weights of all searches are 0: give one of them a weight, such as i2t_weight")
        for name in ("image_dropout", "text_dropout"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name}={getattr(self, name)} is outside [0, 1)")

    @property
    def search_weights(self) -> list[float]:
        """Weights of the searches, in the order of `SEARCHES`."""
        return [getattr(self, f"{search}_weight") for search in SEARCHES]

    @property
    def unlearned(self) -> tuple[SearchName, ...]:
        """Searches of weight 0."""
        return tuple(search for search, weight in zip(SEARCHES, self.search_weights, strict=True) if weight == 0.0)

    def __call__(
        self, codes: CodesOfBatch, related: Positives, weight: Tensor | None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Compute the weighted terms of the global batch, and the hashing loss of each search.

        Args:
            codes: Relaxed codes of this rank's batch.
            related: Which rows of the global batch belong together.
            weight: (B,) how much each row of the global batch counts as a query; None for equal weights.

        Returns:
            Terms by name, and ``hashing/<search>`` by name, which are not weighted.
        """
        codes = codes.gathered()
        queries = torch.stack([codes.queries[search] for search in SEARCHES])  # (6, B, num_bits)
        searched = torch.stack([codes.items[search.target] for search in SEARCHES.values()])  # (6, B, num_bits)
        items = torch.stack([*codes.items.values()])  # (3, B, num_bits)
        losses = self.match(queries, searched, *_by_search(related), weight)
        weights = losses.new_tensor(self.search_weights)
        terms = {
            "hashing": losses @ weights / weights.sum(),
            # A column of metrics.csv, which keeps its name.
            "quantisation": self.quantization_weight * (quantization(queries) + quantization(items)) / 2,
            "bit_balance": self.bit_balance_weight * (bit_balance(queries) + bit_balance(items)) / 2,
        }
        of_searches = zip(SEARCHES, losses.detach().unbind(), strict=True)
        return terms, {f"hashing/{search}": loss for search, loss in of_searches}

    def match(
        self, queries: Tensor, items: Tensor, positives: Tensor, ignored: Tensor, weight: Tensor | None
    ) -> Tensor:
        """Compute the hashing loss from queries to items, in one pass over the leading dimensions.

        Args:
            queries: (..., B, num_bits).
            items: (..., B, num_bits).
            positives: (..., B, B) bool.
            ignored: (..., B, B) bool.
            weight: (B,) how much each row counts as a query; None for equal weights.

        Returns:
            (...).
        """
        loss = queries.new_zeros(queries.shape[:-2])
        if self.hashing_loss != "average_precision":
            logits = _logits(queries, items, positives, self.temperature, ignored)
            loss = loss + _one_way(logits, positives, weight)
        if self.hashing_loss != "info_nce":
            loss = loss + average_precision_loss(queries, items, positives, ignored, weight)
        return loss

    def relations(self, labels: Tensor, groups: Tensor, normal: int | None) -> tuple[Positives, Tensor | None]:
        """Find which rows belong together, and the weight of each as a query, (B,) or None for equal weights.

        Args:
            labels: (B, ceil(L / 8)) uint8, packed label sets.
            groups: (B,) int64.
            normal: Position of the collection's normal label; None without one.
        """
        related = find_positives(labels, groups, self.supervision)
        if normal is None or self.supervision == "pairs":
            return related, None
        is_normal = (labels[:, normal // 8] >> (7 - normal % 8) & 1).float()  # (B,)
        return related, 1.0 - (1.0 - self.normal_weight) * is_normal

    def drop_inputs(self, image: Tensor, text: Tensor, key: SampleKey, seed: int) -> tuple[Tensor, Tensor]:
        """Drop numbers of the embeddings of a training batch, drawn from (seed, step, sample id)."""
        return (
            _drop(image, self.image_dropout, key, seed + _IMAGE_SALT),
            _drop(text, self.text_dropout, key, seed + _TEXT_SALT),
        )


def _drop(embedding: Tensor, rate: float, key: SampleKey, seed: int) -> Tensor:
    if rate == 0.0:
        return embedding
    mask = keyed_mask(1.0 - rate, seed=seed, step=key.step, ids=key.ids, shape=(embedding.shape[1],))
    return embedding * (mask.to(embedding.dtype) / (1.0 - rate))


def _by_search(related: Positives) -> Positives:
    """Repeat relations for each search, (6, B, B); within a modality a row is not an item of its own query."""
    itself = torch.eye(len(related.positives), dtype=torch.bool, device=related.positives.device)
    same = torch.tensor([search.query == search.target for search in SEARCHES.values()], device=itself.device)
    itself = itself & same[:, None, None]
    return Positives(related.positives & ~itself, related.ignored | itself)


def check_temperature(temperature: float) -> None:
    """Refuse a temperature that is not positive.

    Raises:
        ValueError: If it is zero or negative.
    """
    if temperature <= 0.0:
        raise ValueError(f"temperature={temperature} is not positive")
