"""Encoders with random weights, written in the file formats of the real ones and loaded as these are.

What they compute says nothing about medicine; how long it takes is that of the real ones.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import timm
import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertModel, BertTokenizerFast
from transformers.utils.logging import disable_progress_bar

from mcmfh_lightning.encoders import TwoTowerEncoder

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
BERT_WORDS = 30522
"""Size of the vocabulary of BERT, PubMedBERT and all-MiniLM-L6-v2."""
MINI_LM = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
BERT_BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
TINY_BERT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


def make_words(size: int = BERT_WORDS) -> list[str]:
    """Make up the words of a vocabulary of some size."""
    return [f"word{number}" for number in range(size - len(SPECIAL))]


def write_tokenizer(folder: Path, words: Sequence[str], max_length: int) -> None:
    """Write a tokenizer of BERT that knows some words."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join([*SPECIAL, *words]) + "\n")
    BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=max_length).save_pretrained(folder)


def write_bert(folder: Path, words: Sequence[str], bert: Mapping[str, int], context_length: int) -> Path:
    """Write a plain transformers folder, which does not say how it is pooled."""
    torch.manual_seed(2)
    disable_progress_bar()  # of an instant
    write_tokenizer(folder, words, context_length)
    config = BertConfig(vocab_size=len(words) + len(SPECIAL), max_position_embeddings=context_length, **bert)
    BertModel(config).save_pretrained(folder)
    return folder


def write_image_weights(path: Path, name: str) -> Path:
    """Write the weights of a model with its classifier, as timm saves them."""
    torch.manual_seed(1)
    save_file(timm.create_model(name).state_dict(), path)
    return path


class Sizes(NamedTuple):
    """Sizes of two towers."""

    image_model: str
    side: int
    """Pixels of a picture."""
    bert: Mapping[str, int]
    words: int


PACKAGED = Sizes("tf_efficientnet_lite0", 224, MINI_LM, BERT_WORDS)
"""Sizes of the packaged towers, EfficientNet-Lite0 and all-MiniLM-L6-v2."""
TINY = Sizes("test_efficientnet", 160, TINY_BERT, 100)


def make_two_towers(folder: Path, sizes: Sizes) -> TwoTowerEncoder:
    """Make an encoder of two towers that reads 256 tokens."""
    text = write_bert(folder / "text", make_words(sizes.words), sizes.bert, context_length=256)
    image = write_image_weights(folder / "image.safetensors", sizes.image_model)
    return TwoTowerEncoder(str(image), str(text), image_model=sizes.image_model, text_pooling="mean")


def write_biomedclip(
    folder: Path,
    *,
    words: Sequence[str],
    image_model: str = "test_vit",
    image_size: int = 160,
    embed_dim: int = 24,
    context_length: int = 32,
    bert: Mapping[str, int] = TINY_BERT,
) -> Path:
    """Write a folder laid out as BiomedCLIP's repository, as a user copies it; by default a small one.

    The text tower is named by a hub id; ``text_encoder/config.json`` is the copy of that tower's architecture.
    """
    import open_clip

    write_tokenizer(folder, words, context_length)
    vocabulary = len(words) + len(SPECIAL)
    config = BertConfig(vocab_size=vocabulary, max_position_embeddings=max(64, context_length), **bert)
    config.save_pretrained(folder / "text_encoder")
    text = {
        "hf_model_name": "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract",
        "hf_tokenizer_name": "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract",
        "hf_proj_type": "mlp",
        "hf_pooler_type": "cls_last_hidden_state_pooler",
        "context_length": context_length,
    }
    vision = {"timm_model_name": image_model, "timm_pool": "", "timm_proj": "linear", "image_size": image_size}
    preprocess = {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}
    content = {
        "model_cfg": {"embed_dim": embed_dim, "vision_cfg": vision, "text_cfg": text},
        "preprocess_cfg": preprocess,
    }
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    torch.manual_seed(0)
    model = open_clip.model.CustomTextCLIP(
        embed_dim=embed_dim,
        vision_cfg=vision,
        text_cfg={**text, "hf_model_name": str(folder / "text_encoder"), "hf_model_pretrained": False},
    )
    torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
    return folder


def write_full_biomedclip(folder: Path) -> Path:
    """Write BiomedCLIP's own sizes: ViT-B/16 at 224 pixels, and a BERT-base that reads 256 tokens; 784 MB."""
    return write_biomedclip(
        folder,
        words=make_words(),
        image_model="vit_base_patch16_224",
        image_size=224,
        embed_dim=512,
        context_length=256,
        bert=BERT_BASE,
    )
