"""Medical cross-modal fusion hashing: dropout voting, fusion transformer of experts, hash heads."""

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor

from mcmfh_lightning.hashers.base import Codes, Objective
from mcmfh_lightning.hashers.contrastive import ContrastiveHasher, HashingLoss
from mcmfh_lightning.layers import (
    DropoutVoting,
    EvalVotes,
    Fusion,
    FusionTransformer,
    HashHead,
    Projection,
    Routing,
    Vote,
    tokens_per_expert,
    tokens_with_content,
    utilisation,
)
from mcmfh_lightning.losses import Supervision, gather_rows, importance, info_nce, load_balance, router_z
from mcmfh_lightning.randomness import SampleKey
from mcmfh_lightning.types import EvaluationOutput, FeatureBatch


class MCMFH(ContrastiveHasher):
    """Mixture-of-experts fusion hashing that serves all protocols with one model.

    An embedding is projected to a token, passes the frozen dropout-voting MLP, meets the other modality's token (or a
    learned placeholder) in the fusion transformer and becomes a code in its modality's head. In training one forward
    pass runs over the batch three times: image only, text only, and both. Trained on both alone, the contrastive
    losses would be solved by copying the partner, and codes of one modality would be at chance.

    Loss terms:

    - ``fusion``: InfoNCE between the fused image and text tokens of the pairs.
    - ``hashing``, ``quantisation``, ``bit_balance``: on image-only against text-only codes.
    - ``consistency``: the hashing loss between unimodal codes and the codes of cases (mean of both fused heads), the
      two sides of the protocol ``asymmetric``.
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
        supervision: ``pairs`` (a pair and its group) or ``labels`` (pairs that share a label as well) are positives.
        hashing_loss: ``info_nce``, ``average_precision`` or ``both``.
        temperature: Of every InfoNCE.
        normal_weight: How much normal pairs count as queries, see `ContrastiveHasher`.
        input_dropout: Chance that a number of an embedding is dropped in training.
        fusion_weight: Weight of ``fusion``.
        consistency_weight: Weight of ``consistency``.
        quantisation_weight: Weight of the pull towards -1 and +1.
        bit_balance_weight: Weight of the pull towards balanced bits.
        importance_weight: Weight of the CV^2 of the experts' importance.
        load_balance_weight: Weight of the Switch load-balancing loss.
        router_z_weight: Weight of the router z-loss.
        seed: Seed of the voting MLP's weights and masks and of the input dropout.
        optimizer: Makes the optimiser from the parameters.
        lr_scheduler: Makes a scheduler that is stepped once an epoch.
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
        supervision: Supervision = "labels",
        hashing_loss: HashingLoss = "both",
        temperature: float = 0.5,
        normal_weight: float = 0.0,
        input_dropout: float = 0.3,
        fusion_weight: float = 0.1,
        consistency_weight: float = 0.5,
        quantisation_weight: float = 0.1,
        bit_balance_weight: float = 0.1,
        importance_weight: float = 0.01,
        load_balance_weight: float = 0.01,
        router_z_weight: float = 0.001,
        seed: int = 0,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        architecture: dict[str, int | float | str] = {
            "num_bits": num_bits,
            "image_dim": image_dim,
            "text_dim": text_dim,
            "d_model": d_model,
            "num_layers": num_layers,
            "num_heads": num_heads,
            "num_experts": num_experts,
            "top_k": top_k,
            "ffn_multiplier": ffn_multiplier,
            "fusion": fusion,
            "votes": votes,
            "dropout_rate": dropout_rate,
            "vote": vote,
            "eval_votes": eval_votes,
        }
        super().__init__(
            architecture,
            supervision,
            hashing_loss,
            temperature,
            normal_weight,
            input_dropout,
            quantisation_weight,
            bit_balance_weight,
            seed,
            optimizer,
            lr_scheduler,
        )
        self.save_hyperparameters()
        self.num_experts = num_experts
        self.fusion_weight = fusion_weight
        self.consistency_weight = consistency_weight
        self.importance_weight = importance_weight
        self.load_balance_weight = load_balance_weight
        self.router_z_weight = router_z_weight
        self.routing_shape = (num_layers, 2, num_experts)
        self.image_projection = Projection(image_dim, d_model)
        self.text_projection = Projection(text_dim, d_model)
        self.voting = DropoutVoting(d_model, 2 * d_model, votes, dropout_rate, vote, eval_votes, seed)
        self.transformer = FusionTransformer(d_model, num_layers, num_heads, num_experts, top_k, ffn_multiplier, fusion)
        self.image_head = HashHead(d_model, num_bits, d_model)
        self.text_head = HashHead(d_model, num_bits, d_model)

    def encode(self, image: Tensor | None, text: Tensor | None) -> Codes:
        """Hash samples from what is known of them; with both, each head sees the fused pair."""
        tokens, _ = self._fuse(image, text)
        return Codes(
            None if image is None else self.image_head(tokens[:, 0]),
            None if text is None else self.text_head(tokens[:, 1]),
        )

    def objective(self, batch: FeatureBatch) -> Objective:
        """All terms of the class description, weighted, and how evenly the experts were used."""
        image, text = self.dropped(batch)
        tokens = torch.stack([self.image_projection(image), self.text_projection(text)], dim=1)
        tokens = self.voting(tokens, SampleKey(torch.tensor(self.global_step), batch["index"]))
        views = torch.tensor([[True, False], [False, True], [True, True]], device=tokens.device)
        present = views.repeat_interleave(len(tokens), dim=0)
        fused = self.transformer(tokens.repeat(len(views), 1, 1), present)
        image_only, text_only, both = fused.tokens.chunk(len(views))
        relations = self.relations(batch)
        image = gather_rows(self.image_head(image_only[:, 0]))
        text = gather_rows(self.text_head(text_only[:, 1]))
        case = gather_rows((self.image_head(both[:, 0]) + self.text_head(both[:, 1])) / 2)
        consistency = (self.match(image, case, relations) + self.match(text, case, relations)) / 2
        fusion = info_nce(
            gather_rows(both[:, 0]), gather_rows(both[:, 1]), relations.positives, self.temperature, relations.ignored
        )
        terms = {
            **self.code_losses(image, text, relations),
            "consistency": self.consistency_weight * consistency,
            "fusion": self.fusion_weight * fusion,
            **self._gating_losses(fused.routings, present),
        }
        even = utilisation(tokens_per_expert(fused.routings, present))
        statistics = {
            f"utilisation/layer{layer}/{modality}": even[layer, index]
            for layer in range(len(even))
            for index, modality in enumerate(("image", "text"))
        }
        return Objective(terms, statistics)

    def evaluate(self, batch: FeatureBatch) -> EvaluationOutput:
        """Codes of all protocols.

        Each view is a pass of its own: the experts never see views together, so that not even the rounding of a
        unimodal code depends on the partner.
        """
        image_only, image_counts = self._fuse(batch["image"], None)
        text_only, text_counts = self._fuse(None, batch["text"])
        both, both_counts = self._fuse(batch["image"], batch["text"])
        fused_image, fused_text = self.image_head(both[:, 0]), self.text_head(both[:, 1])
        return {
            "image": self.image_head(image_only[:, 0]),
            "text": self.text_head(text_only[:, 1]),
            "case": (fused_image + fused_text) / 2,
            "fused_image": fused_image,
            "fused_text": fused_text,
            "routing": image_counts + text_counts + both_counts,
        }

    def _fuse(self, image: Tensor | None, text: Tensor | None) -> tuple[Tensor, Tensor]:
        """Evaluation pass: (B, 2, d_model) fused tokens and (layers, 2, num_experts) counts."""
        tokens = [
            None if image is None else self.image_projection(image),
            None if text is None else self.text_projection(text),
        ]
        given = next((token for token in tokens if token is not None), None)
        if given is None:
            raise ValueError("encode needs an image, a text or both")
        stacked = torch.stack([torch.zeros_like(given) if token is None else token for token in tokens], dim=1)
        present = torch.tensor([token is not None for token in tokens], device=given.device).expand(len(given), 2)
        fused = self.transformer(self.voting(stacked), present)
        return fused.tokens, tokens_per_expert(fused.routings, present)

    def _gating_losses(self, routings: list[Routing], present: Tensor) -> dict[str, Tensor]:
        """The hybrid gating loss on the global batch, mean over layers."""
        sums = torch.zeros(3, device=present.device)
        for routing in routings:
            logits = gather_rows(tokens_with_content(routing.logits, present))
            experts = gather_rows(tokens_with_content(routing.experts, present))
            probabilities = logits.softmax(dim=-1)
            sums = sums + torch.stack(
                [importance(probabilities), load_balance(probabilities, experts), router_z(logits)]
            )
        mean_importance, mean_load_balance, mean_router_z = sums / len(routings)
        return {
            "importance": self.importance_weight * mean_importance,
            "load_balance": self.load_balance_weight * mean_load_balance,
            "router_z": self.router_z_weight * mean_router_z,
        }
