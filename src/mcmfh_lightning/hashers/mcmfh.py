"""Medical cross-modal fusion hashing: dropout voting, fusion transformer of experts, hash heads."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor

from mcmfh_lightning.hashers.base import Codes, Hasher, Objective, project_given
from mcmfh_lightning.hashers.checkpoints import use_present_names
from mcmfh_lightning.layers import (
    DropoutVoting,
    EvalVotes,
    Fusion,
    FusionTransformer,
    HashHead,
    Projection,
    QueryHeads,
    View,
    Vote,
)
from mcmfh_lightning.layers.mixture_of_experts import Routing, tokens_per_expert, utilization
from mcmfh_lightning.losses import (
    CodesOfBatch,
    ContrastiveLoss,
    gather_rows,
    importance,
    info_nce,
    load_balance,
    router_z,
)
from mcmfh_lightning.searches import SEARCHES, SearchName
from mcmfh_lightning.types import EvaluationOutput, FeatureBatch

_IMAGE, _TEXT, _BOTH = (True, False), (False, True), (True, True)
_NOT_ARCHITECTURE = {"self", "__class__", "seed", "optimizer", "lr_scheduler", "objective"}


@dataclass(frozen=True, kw_only=True)
class FusionLoss(ContrastiveLoss):
    """`ContrastiveLoss` with the terms that a fusion by experts adds.

    Args:
        fusion_weight: Weight of InfoNCE between fused tokens.
        importance_weight: Weight of the CV^2 of the experts' importance.
        load_balance_weight: Weight of the Switch load-balancing loss.
        router_z_weight: Weight of the router z-loss.
    """

    fusion_weight: float = 0.1
    importance_weight: float = 0.01
    load_balance_weight: float = 0.01
    router_z_weight: float = 0.001

    def gating(self, routings: list[Routing]) -> dict[str, Tensor]:
        """Compute the hybrid gating loss on the global batch, mean over layers.

        Placeholders do not count: they are one and the same for all samples, and balancing them would push the real
        tokens away from whichever expert they share.
        """
        layers = []
        for routing in routings:
            logits = gather_rows(routing.logits.flatten(0, 1))  # (T, experts)
            experts = gather_rows(routing.experts.flatten(0, 1))  # (T, top_k)
            probabilities = logits.softmax(dim=-1)
            terms = importance(probabilities), load_balance(probabilities, experts), router_z(logits)
            layers.append(torch.stack(terms))
        means = torch.stack(layers).mean(dim=0)
        return {
            "importance": self.importance_weight * means[0],
            "load_balance": self.load_balance_weight * means[1],
            "router_z": self.router_z_weight * means[2],
        }


class MCMFH(Hasher):
    """Mixture-of-experts fusion hashing that serves all protocols with one model.

    An embedding is projected to a token, passes the frozen dropout-voting MLP, meets the other modality's token (or a
    learned placeholder) in the fusion transformer and becomes a code in its modality's head; the code of a case is the
    mean of both heads on the fused pair. The queries of each search have a head of their own, on the token of their
    modality alone. In training one forward pass sees each pair three times: image only, text only, and both.
    Trained on both alone, the contrastive losses would be solved by copying the partner, and codes of one modality
    would be at chance.

    Loss terms:

    - ``fusion``: InfoNCE between the fused image and text tokens of the pairs.
    - ``hashing``, ``quantisation``, ``bit_balance``: those of `ContrastiveLoss`, over all searches.
    - ``importance``, ``load_balance``, ``router_z``: the hybrid gating loss, mean over layers.

    Args:
        num_bits: Bits of a code.
        image_dim: Width of the image embeddings.
        text_dim: Width of the text embeddings.
        d_model: Width of a modality's token.
        num_layers: Blocks of the fusion transformer.
        num_heads: Attention heads.
        num_experts: Experts per block.
        top_k: Experts per token.
        ffn_multiplier: Hidden width of an expert, in units of the token's width.
        fusion: ``tokens`` (two tokens attend to each other) or ``concat`` (one wide token, as in UCMFH).
        votes: Dropout passes of the voting MLP.
        dropout_rate: Chance that a hidden unit of the voting MLP is dropped, in [0, 1).
        vote: ``mean`` or ``majority`` of the passes.
        eval_votes: ``masks`` (fixed ones, drawn once) or ``none`` (no dropout) at evaluation.
        query_heads: Give the queries of each search a head of their own; else they have the codes of items.
        seed: Seed of the voting MLP's weights and masks and of the input dropout.
        optimizer: Makes the optimizer from the parameters.
        lr_scheduler: Makes a scheduler that is stepped once an epoch.
        objective: Fields of `FusionLoss`.
    """

    def __init__(
        self,
        num_bits: int,
        image_dim: int,
        text_dim: int,
        d_model: int = 256,
        num_layers: int = 1,
        num_heads: int = 4,
        num_experts: int = 4,
        top_k: int = 1,
        ffn_multiplier: int = 2,
        fusion: Fusion = "tokens",
        votes: int = 8,
        dropout_rate: float = 0.2,
        vote: Vote = "mean",
        eval_votes: EvalVotes = "masks",
        *,
        query_heads: bool = True,
        seed: int = 0,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        lr_scheduler: LRSchedulerCallable | None = None,
        **objective: Any,  # noqa: ANN401  # typed by FusionLoss
    ) -> None:
        architecture = {name: value for name, value in locals().items() if name not in _NOT_ARCHITECTURE}
        super().__init__(architecture, optimizer, lr_scheduler)
        use_present_names(objective)
        self.loss = FusionLoss(**objective)
        self.supervision, self.unlearned, self.seed = self.loss.supervision, self.loss.unlearned, seed
        self.save_hyperparameters()
        self.save_hyperparameters(asdict(self.loss))
        self.routing_shape = (num_layers, 2, num_experts)
        self.image_projection = Projection(image_dim, d_model)
        self.text_projection = Projection(text_dim, d_model)
        self.voting = DropoutVoting(d_model, 2 * d_model, votes, dropout_rate, vote, eval_votes, seed)
        self.transformer = FusionTransformer(d_model, num_layers, num_heads, num_experts, top_k, ffn_multiplier, fusion)
        self.image_head = HashHead(d_model, num_bits, d_model)
        self.text_head = HashHead(d_model, num_bits, d_model)
        self.query_heads = QueryHeads(d_model, num_bits) if query_heads else None

    def encode(self, image: Tensor | None, text: Tensor | None) -> Codes:
        """Hash samples from one modality or from both; with both, each head sees the fused pair."""
        tokens, _ = self._fuse(self._tokens(image, text), (image is not None, text is not None))
        return Codes(
            None if image is None else self.image_head(tokens[0]),
            None if text is None else self.text_head(tokens[-1]),
        )

    def encode_query(self, search: SearchName, embedding: Tensor) -> Tensor:
        """Hash queries of one search by its head."""
        is_image = SEARCHES[search].query == "image"
        tokens = self._tokens(embedding, None) if is_image else self._tokens(None, embedding)
        (token,), _ = self._fuse(tokens, _IMAGE if is_image else _TEXT)
        return self._query_code(search, token)

    def objective(self, batch: FeatureBatch) -> Objective:
        """Compute all terms of the class description, weighted, and how evenly the experts were used."""
        key = self.sample_key(batch)
        image, text = self.loss.drop_inputs(batch["image"], batch["text"], key, self.seed)
        tokens = torch.stack([self.image_projection(image), self.text_projection(text)], dim=1)  # (B, 2, d_model)
        tokens = self.voting(tokens, key)
        fused = self.transformer(tokens, (_IMAGE, _TEXT, _BOTH))
        image_only, text_only, fused_image, fused_text = fused.tokens  # (B, d_model) each
        # Unlearned heads too: processes of a DDP wait for the gradients of each.
        hashed = self._query_code if self.query_heads is None else self.query_heads
        queries = {
            name: hashed(name, image_only if search.query == "image" else text_only)
            for name, search in SEARCHES.items()
        }
        items = {
            "image": self.image_head(image_only),
            "text": self.text_head(text_only),
            "case": (self.image_head(fused_image) + self.text_head(fused_text)) / 2,
        }
        related, weight = self.loss.relations(
            gather_rows(batch["labels"]), gather_rows(batch["group"]), self.normal_label
        )
        terms, statistics = self.loss(CodesOfBatch(queries, items), related, weight)
        fused_pairs = gather_rows(fused_image), gather_rows(fused_text)
        terms["fusion"] = self.loss.fusion_weight * info_nce(
            *fused_pairs, related.positives, self.loss.temperature, related.ignored
        )
        terms |= self.loss.gating(fused.routings)
        even = utilization(tokens_per_expert(fused.routings, fused.held))  # (layers, 2)
        statistics |= {
            f"utilisation/layer{layer}/{modality}": even[layer, index]  # a column of metrics.csv, which keeps its name
            for layer in range(len(even))
            for index, modality in enumerate(("image", "text"))
        }
        return Objective(terms, statistics)

    def evaluate(self, batch: FeatureBatch) -> EvaluationOutput:
        """Compute the codes of all protocols.

        Each view is a pass of its own: the experts never see views together, so that not even the rounding of a
        unimodal code depends on the partner.
        """
        tokens = self._tokens(batch["image"], batch["text"])
        (image_only,), image_counts = self._fuse(tokens, _IMAGE)
        (text_only,), text_counts = self._fuse(tokens, _TEXT)
        both, both_counts = self._fuse(tokens, _BOTH)
        fused_image, fused_text = self.image_head(both[0]), self.text_head(both[1])
        output: EvaluationOutput = {
            "image": self.image_head(image_only),
            "text": self.text_head(text_only),
            "case": (fused_image + fused_text) / 2,
            "fused_image": fused_image,
            "fused_text": fused_text,
            "routing": image_counts + text_counts + both_counts,
        }
        if self.query_heads is not None:
            views = {"image": image_only, "text": text_only}
            output["queries"] = {name: self._query_code(name, views[search.query]) for name, search in SEARCHES.items()}
        return output

    def _query_code(self, search: SearchName, token: Tensor) -> Tensor:
        """Hash the queries of a search, (B, d_model) tokens of their modality alone."""
        if self.query_heads is None or search in self.unlearned:
            code: Tensor = self.image_head(token) if SEARCHES[search].query == "image" else self.text_head(token)
        else:
            code = self.query_heads(search, token)
        return code

    def _tokens(self, image: Tensor | None, text: Tensor | None) -> Tensor:
        """Project and vote for evaluation, (B, 2, d_model); the token of a missing modality means nothing."""
        tokens = project_given(image, text, self.image_projection, self.text_projection)
        voted: Tensor = self.voting(torch.stack(tokens, dim=1))
        return voted

    def _fuse(self, tokens: Tensor, view: View) -> tuple[list[Tensor], Tensor]:
        """Fuse a view: (B, d_model) of each present modality, and (layers, 2, num_experts) counts of the routing."""
        fused = self.transformer(tokens, (view,))
        return fused.tokens, tokens_per_expert(fused.routings, fused.held)
