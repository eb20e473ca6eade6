"""Methods that hash each modality by itself; TwoTower, the null for fusion and experts."""

from abc import ABC
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from mcmfh_lightning.hashers.base import Codes, Hasher, Objective
from mcmfh_lightning.hashers.checkpoints import use_present_names
from mcmfh_lightning.layers import HashHead, MakeHead, Projection, QueryHeads
from mcmfh_lightning.losses import CodesOfBatch, ContrastiveLoss, gather_rows
from mcmfh_lightning.searches import SEARCHES, SearchName
from mcmfh_lightning.types import EvaluationOutput, FeatureBatch


class Towers(Hasher, ABC):
    """Base of the methods with one tower a modality, ``image_tower`` and ``text_tower``."""

    image_tower: Callable[[Tensor], Tensor]
    text_tower: Callable[[Tensor], Tensor]

    def encode(self, image: Tensor | None, text: Tensor | None) -> Codes:
        """Hash each modality that is given, alone."""
        if image is None and text is None:
            raise ValueError("encode needs an image, a text or both")
        return Codes(
            None if image is None else self.image_tower(image), None if text is None else self.text_tower(text)
        )

    def global_codes(self, batch: FeatureBatch) -> tuple[Tensor, Tensor]:
        """Encode the images and texts of the global batch."""
        return gather_rows(self.image_tower(batch["image"])), gather_rows(self.text_tower(batch["text"]))

    def evaluate(self, batch: FeatureBatch) -> EvaluationOutput:
        """Compute unimodal codes and, as the code of a case, the mean of both."""
        image, text = self.image_tower(batch["image"]), self.text_tower(batch["text"])
        return {"image": image, "text": text, "case": (image + text) / 2}


class HashTowers(Towers, ABC):
    """Projection, MLP and tanh per modality, the same for every method of this kind: they differ by their objective.

    A method that publishes a head of its own gives it in place of the MLP with tanh.

    The code of a case is the mean of both. With query heads it is an MLP over both projections, and the queries of
    each search have an MLP of their own over the projection of their modality: MCMFH without transformer, voting and
    experts.

    Args:
        num_bits: Bits of a code.
        image_dim: Width of the image embeddings.
        text_dim: Width of the text embeddings.
        d_model: Width of the projections and of the hash heads.
        optimizer: Makes the optimizer from the parameters.
        lr_scheduler: Makes a scheduler that is stepped once an epoch.
        query_heads: Give each search and the case an MLP of their own.
        make_head: Makes the hash heads.
    """

    image_tower: nn.Sequential
    text_tower: nn.Sequential

    def __init__(
        self,
        num_bits: int,
        image_dim: int,
        text_dim: int,
        d_model: int,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None,
        *,
        query_heads: bool = False,
        make_head: MakeHead = HashHead,
    ) -> None:
        sizes = {"num_bits": num_bits, "image_dim": image_dim, "text_dim": text_dim, "d_model": d_model}
        super().__init__(sizes | {"query_heads": query_heads}, optimizer, lr_scheduler)
        self.image_tower = nn.Sequential(Projection(image_dim, d_model), make_head(d_model, num_bits, d_model))
        self.text_tower = nn.Sequential(Projection(text_dim, d_model), make_head(d_model, num_bits, d_model))
        self.case_head = make_head(2 * d_model, num_bits, d_model) if query_heads else None
        self.query_heads = QueryHeads(d_model, num_bits, make_head) if query_heads else None

    def encode_query(self, search: SearchName, embedding: Tensor) -> Tensor:
        """Hash queries of one search by its head, or as items of their modality."""
        if self.query_heads is None or search in self.unlearned:
            return super().encode_query(search, embedding)
        tower = self.image_tower if SEARCHES[search].query == "image" else self.text_tower
        code: Tensor = self.query_heads(search, tower[0](embedding))
        return code

    def codes_of_batch(self, image: Tensor, text: Tensor) -> CodesOfBatch:
        """Compute the codes of all queries and items.

        Args:
            image: (B, image_dim).
            text: (B, text_dim).
        """
        tokens = {"image": self.image_tower[0](image), "text": self.text_tower[0](text)}  # (B, d_model) each
        items = {"image": self.image_tower[1](tokens["image"]), "text": self.text_tower[1](tokens["text"])}
        if self.query_heads is None or self.case_head is None:
            items["case"] = (items["image"] + items["text"]) / 2
            return CodesOfBatch({name: items[search.query] for name, search in SEARCHES.items()}, items)
        items["case"] = self.case_head(torch.cat([tokens["image"], tokens["text"]], dim=1))
        return CodesOfBatch(
            {name: self.query_heads(name, tokens[search.query]) for name, search in SEARCHES.items()}, items
        )

    def global_codes_of_batch(self, batch: FeatureBatch) -> CodesOfBatch:
        """Compute the codes of all queries and items of the global batch."""
        return self.codes_of_batch(batch["image"], batch["text"]).gathered()

    def terms_of_searches(
        self, codes: CodesOfBatch, loss: Callable[[Tensor, Tensor], Tensor]
    ) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Compute a loss of two sets of codes within each modality and across, and name the codes that it is of.

        Args:
            codes: Codes of the global batch.
            loss: Takes the codes of queries and of items, (B, num_bits) each.

        Returns:
            ``image``, ``text`` and ``cross``, from images to texts. With query heads the first codes are those of the
            queries, ``cross`` is the mean of both directions, and ``case`` that of the searches of cases. Then the
            codes that such a method also draws towards -1 and +1.
        """
        queries, items = codes

        def searched(search: SearchName) -> Tensor:
            return loss(queries[search], items[SEARCHES[search].target])

        terms = {"image": searched("i2i"), "text": searched("t2t"), "cross": searched("i2t")}
        if self.query_heads is None:
            return terms, [items["image"], items["text"]]
        terms["cross"] = (terms["cross"] + searched("t2i")) / 2
        terms["case"] = (searched("i2case") + searched("t2case")) / 2
        return terms, [*items.values(), *queries.values()]

    def evaluate(self, batch: FeatureBatch) -> EvaluationOutput:
        """Compute the codes of items and, with query heads, those of the queries of each search."""
        queries, items = self.codes_of_batch(batch["image"], batch["text"])
        output: EvaluationOutput = {"image": items["image"], "text": items["text"], "case": items["case"]}
        if self.query_heads is not None:
            as_items = {search: items[SEARCHES[search].query] for search in self.unlearned}
            output["queries"] = {**queries, **as_items}
        return output


class TwoTower(HashTowers):
    """`HashTowers` with the objective of MCMFH; the modalities meet in the code of a case alone.

    Args:
        num_bits: Bits of a code.
        image_dim: Width of the image embeddings.
        text_dim: Width of the text embeddings.
        d_model: Width of the projections and of the hash heads.
        query_heads: Give each search and the case an MLP of their own; see `HashTowers`.
        seed: Seed of the input dropout.
        optimizer: Makes the optimizer from the parameters.
        lr_scheduler: Makes a scheduler that is stepped once an epoch.
        objective: Fields of `ContrastiveLoss`.
    """

    def __init__(
        self,
        num_bits: int,
        image_dim: int,
        text_dim: int,
        d_model: int = 256,
        *,
        query_heads: bool = False,
        seed: int = 0,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        lr_scheduler: LRSchedulerCallable | None = None,
        **objective: Any,  # noqa: ANN401  # typed by ContrastiveLoss
    ) -> None:
        super().__init__(num_bits, image_dim, text_dim, d_model, optimizer, lr_scheduler, query_heads=query_heads)
        use_present_names(objective)
        self.loss = ContrastiveLoss(**objective)
        self.supervision, self.unlearned, self.seed = self.loss.supervision, self.loss.unlearned, seed
        self.save_hyperparameters()
        self.save_hyperparameters(asdict(self.loss))

    def objective(self, batch: FeatureBatch) -> Objective:
        """Compute hashing loss, quantization and bit balance of all searches."""
        image, text = self.loss.drop_inputs(batch["image"], batch["text"], self.sample_key(batch), self.seed)
        relations = self.loss.relations(gather_rows(batch["labels"]), gather_rows(batch["group"]), self.normal_label)
        return Objective(*self.loss(self.codes_of_batch(image, text), *relations))
