"""Dropout whose masks belong to samples, and a vote of several dropout passes through a frozen network."""

from typing import Literal

import torch
from torch import Tensor, nn

from mcmfh_lightning.errors import check_choice
from mcmfh_lightning.randomness import EVALUATION_STEP, SampleKey, keyed_mask

Vote = Literal["mean", "majority"]
EvalVotes = Literal["masks", "none"]
_BETWEEN_SITES = 1_000_003


class DropoutVoting(nn.Module):
    """Frozen residual MLP whose ``votes`` dropout passes are aggregated.

    Vote v of token x is ``y_v = x + W_2 (m_v * relu(W_1 x)) / keep`` with a Bernoulli(keep) mask
    ``m_v`` on the hidden units. The weights are seeded orthogonal matrices, never trained, and held as buffers;
    the gradient passes through them to the projection in front. The hidden layer is computed once for all votes.

    - ``vote="mean"``: the mean of the votes. The second layer is linear, so this is one pass with the mean mask.
    - ``vote="majority"``: per coordinate the sign that most votes have, in {-1, +1}; an even split goes to the sign
      of the mean vote. The gradient is that of the mean vote (straight-through estimator, Bengio et al., 2013).

    In training the masks are keyed by (seed, step, sample id) and differ between a sample's tokens. At evaluation they
    are the same for every token: ``eval_votes="masks"`` uses ``votes`` masks drawn once from the seed and stored with
    the weights; ``eval_votes="none"`` uses no dropout, so that all votes agree.

    Args:
        d_model: Width of a token.
        hidden_dim: Width of the hidden layer.
        votes: Number of passes.
        rate: Chance that a hidden unit is dropped, in [0, 1).
        vote: How the passes are aggregated.
        eval_votes: What evaluation does.
        seed: Seed of the weights and of all masks.

    Raises:
        ValueError: If a word is unknown, there is fewer than one vote, or the rate is outside [0, 1).
    """

    weight_in: Tensor
    weight_out: Tensor
    eval_masks: Tensor | None

    def __init__(
        self,
        d_model: int,
        hidden_dim: int,
        votes: int = 8,
        rate: float = 0.2,
        vote: Vote = "mean",
        eval_votes: EvalVotes = "masks",
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_choice("vote", vote, Vote)
        check_choice("eval_votes", eval_votes, EvalVotes)
        if votes < 1:
            raise ValueError(f"votes={votes} is less than 1")
        if not 0.0 <= rate < 1.0:
            raise ValueError(f"rate={rate} is outside [0, 1)")
        self.votes = votes
        self.keep = 1.0 - rate
        self.vote = vote
        self.seed = seed
        generator = torch.Generator().manual_seed(seed)
        for name, shape in (("weight_in", (d_model, hidden_dim)), ("weight_out", (hidden_dim, d_model))):
            self.register_buffer(name, nn.init.orthogonal_(torch.empty(shape), generator=generator))
        masks = keyed_mask(self.keep, seed=seed, step=EVALUATION_STEP, ids=torch.arange(votes), shape=(hidden_dim,))
        self.register_buffer("eval_masks", masks if eval_votes == "masks" else None)

    def forward(self, tokens: Tensor, key: SampleKey | None = None) -> Tensor:
        """Aggregate the votes on each token.

        Args:
            tokens: (B, S, d_model).
            key: Draws the masks of a training pass; None for evaluation.

        Returns:
            (B, S, d_model).
        """
        hidden = torch.relu(tokens @ self.weight_in)
        masks = self.eval_masks
        if key is not None:  # (B, S, votes, hidden_dim)
            shape = (tokens.shape[1], self.votes, self.weight_in.shape[1])
            masks = keyed_mask(self.keep, seed=self.seed, step=key.step, ids=key.ids, shape=shape)
        if masks is None:
            mean = tokens + hidden @ self.weight_out
            return mean if self.vote == "mean" else _straight_through(mean.sign(), mean)
        kept = masks.sum(dim=-2, dtype=torch.int32)  # of the votes: much faster to count than to average as floats
        mean = tokens + (hidden * (kept.to(tokens.dtype) / (self.votes * self.keep))) @ self.weight_out
        if self.vote == "mean":
            return mean
        with torch.no_grad():
            weights = masks.to(tokens.dtype) / self.keep
            passes = tokens[..., None, :] + (hidden[..., None, :] * weights) @ self.weight_out
            tally = passes.sign().sum(dim=-2)
        return _straight_through(torch.where(tally == 0, mean, tally).sign(), mean)


def _straight_through(value: Tensor, surrogate: Tensor) -> Tensor:
    """Return ``value`` with the gradient of ``surrogate``."""
    return value.detach() + (surrogate - surrogate.detach())


class KeyedDropout(nn.Module):
    """Dropout (Srivastava et al., JMLR 2014) drawn from (seed, site, step, sample id).

    ``torch.nn.Dropout`` draws from a free-running generator: another number of processes, or a resumed run, would drop
    other units.

    Args:
        rate: Chance that a unit is dropped, in [0, 1).
        seed: Seed of the masks.
        site: Number of this dropout among those of its model; each draws masks of its own.

    Raises:
        ValueError: If the rate is outside [0, 1).
    """

    def __init__(self, rate: float, seed: int, site: int) -> None:
        super().__init__()
        if not 0.0 <= rate < 1.0:
            raise ValueError(f"rate={rate} is outside [0, 1)")
        self.keep = 1.0 - rate
        self.seed = seed + _BETWEEN_SITES * site

    def forward(self, units: Tensor, key: SampleKey | None) -> Tensor:
        """Drop units and scale the others by 1 / (1 - rate).

        Args:
            units: (B, ...), a row for each sample.
            key: Draws the masks; None drops nothing.

        Returns:
            (B, ...).
        """
        if key is None:
            return units
        mask = keyed_mask(self.keep, seed=self.seed, step=key.step, ids=key.ids, shape=tuple(units.shape[1:]))
        return units * (mask.to(units.dtype) / self.keep)
