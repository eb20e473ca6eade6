"""``mcmfh export``: the same codes as torch, for every method and encoder, or a refusal."""

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from mcmfh_lightning.archive.model import QueryHasher
from mcmfh_lightning.cli.main import main
from mcmfh_lightning.errors import CheckpointError, ConfigError, DataError
from mcmfh_lightning.export.check import check_export
from mcmfh_lightning.export.write import export_model
from mcmfh_lightning.hashers import CCAITQ, DCHMT, DDBH, MCMFH, UCMFH, DScPH, RealValued, TriPAH, TwoTower
from mcmfh_lightning.hashers.stored import load_hasher
from mcmfh_lightning.images.given import given_picture
from mcmfh_lightning.portable.hasher import PortableHasher
from mcmfh_lightning.searches import SEARCHES

from .tiny import TEXTS, build, checkpoint_of, open_clip_model, save_hasher, two_towers

ENCODER = {"name": "planted", "precision": "fp32"}
WIDTHS = 24, 16


def pictures():
    rng = np.random.default_rng(5)
    for shape in ((97, 61), (33, 640, 4), (301, 200, 3)):
        yield given_picture(Image.fromarray(rng.integers(0, 256, shape).astype(np.uint8)), None, "film")


@pytest.fixture(scope="module")
def original(exported: Path) -> QueryHasher:
    encoder = build(yaml.safe_load((exported / "encoder.yaml").read_text()))
    return QueryHasher(encoder, load_hasher(exported / "run/fit/checkpoints/best.ckpt").hasher, "cpu")


def test_codes_of_queries_are_those_of_the_archive(exported: Path, original: QueryHasher) -> None:
    """Next to `QueryHasher`, which encodes and hashes the queries of every archive with torch."""
    ours = PortableHasher(exported / "model")
    compared = 0
    for modality, queries in (("image", pictures()), ("text", TEXTS)):
        for query in queries:
            codes = ours.hash_image(query) if modality == "image" else ours.hash_text(query)
            for search in (name for name, one in SEARCHES.items() if one.query == modality):
                against = SEARCHES[search].target
                if modality == "image":
                    theirs = original.image(query, against).query[against]
                else:
                    theirs = original.text(query, against)[against]
                assert np.abs(codes[search] - theirs.relaxed.astype(np.float32)).max() < 1e-3  # half precision
                sure = np.abs(codes[search]) > 1e-4
                bits = np.unpackbits(theirs.packed)[: len(sure)].astype(bool)
                assert np.array_equal((codes[search] >= 0)[sure], bits[sure])
                compared += 1
    assert compared == 3 * 3 + 3 * len(TEXTS)


def test_code_of_an_item_is_the_one_that_its_picture_would_have(exported: Path, original: QueryHasher) -> None:
    ours = PortableHasher(exported / "model")
    for picture in pictures():
        code = ours.hash_image(picture)["code"]
        assert np.array_equal(np.packbits(code >= 0), original.image(picture, "case").item.packed)


def test_tokens_are_counted_as_the_encoder_does(exported: Path, original: QueryHasher) -> None:
    ours = PortableHasher(exported / "model")
    assert [ours.count_tokens(text) for text in TEXTS] == [original.count_tokens(text) for text in TEXTS]
    assert ours.count_tokens(TEXTS[-1]).read < ours.count_tokens(TEXTS[-1]).tokens


def test_description_holds_the_identity(exported: Path) -> None:
    stored = json.loads((exported / "model" / "model.json").read_text())
    checkpoint = torch.load(exported / "run/fit/checkpoints/best.ckpt", weights_only=True)["mcmfh"]
    assert stored["encoder"] == checkpoint["encoder"]
    assert (stored["hasher"], stored["num_bits"], stored["query_codes"]) == ("TwoTower", 11, True)
    assert str(exported) not in json.dumps(stored)
    assert {path.name for path in (exported / "model").iterdir()} == {*stored["files"], "model.json"}


METHODS = {
    "MCMFH": lambda: MCMFH(16, *WIDTHS, d_model=16, t2i_weight=0.0),
    "MCMFH, majority and wide tokens": lambda: MCMFH(
        7, *WIDTHS, d_model=16, num_layers=2, top_k=3, fusion="concat", vote="majority", query_heads=False
    ),
    "MCMFH, no votes": lambda: MCMFH(16, *WIDTHS, d_model=16, eval_votes="none", query_heads=False),
    "TwoTower": lambda: TwoTower(16, *WIDTHS, d_model=16),
    "TwoTower, query heads": lambda: TwoTower(64, *WIDTHS, d_model=16, query_heads=True),
    "UCMFH": lambda: UCMFH(16, *WIDTHS, d_model=16),
    "DScPH": lambda: DScPH(16, *WIDTHS, num_labels=2, d_model=16),
    "DDBH": lambda: DDBH(16, *WIDTHS, d_model=16),
    "TriPAH": lambda: TriPAH(16, *WIDTHS, num_labels=2, d_model=16),
    "DCHMT": lambda: DCHMT(16, *WIDTHS, d_model=16),
    "CCA-ITQ": lambda: CCAITQ(8, *WIDTHS),
}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_hashes_embeddings_as_with_torch(tmp_path: Path, name: str) -> None:
    torch.manual_seed(3)
    hasher = METHODS[name]()
    for value in [*hasher.parameters(), *(buffer for buffer in hasher.buffers() if buffer.is_floating_point())]:
        if value.ndim and not value.any():  # biases, and what CCA-ITQ fits
            torch.nn.init.normal_(value.data)
    checkpoint = save_hasher(tmp_path / "hasher.ckpt", hasher, ENCODER)
    export_model(checkpoint, tmp_path / "model", None)
    ours = PortableHasher(tmp_path / "model")
    theirs = load_hasher(checkpoint).hasher
    images, texts = (20 * torch.randn(20, width) for width in WIDTHS)
    batch = {"image": images.half().float(), "text": texts.half().float()}
    with torch.inference_mode():
        expected = theirs.evaluate(batch)
        queries = {search: theirs.encode_query(search, batch[one.query]) for search, one in SEARCHES.items()}
    for row in range(len(images)):
        image, text = images[row].numpy(), texts[row].numpy()
        codes = {
            "image": ours.hash_image(image),
            "text": ours.hash_text(text),
            "case": {"code": ours.hash_case(image, text)},
        }
        for kind, one in codes.items():
            np.testing.assert_allclose(one["code"], expected[kind][row], atol=2e-6)
        for search, one in SEARCHES.items():
            named = search if ours.description.query_codes else "code"
            np.testing.assert_allclose(codes[one.query][named], queries[search][row], atol=2e-6)


def test_embeddings_are_rounded_as_feature_shards_hold_them(tmp_path: Path) -> None:
    """A graph that lost the rounding would give other codes than those of the archive's items."""
    torch.manual_seed(0)
    hasher = TwoTower(64, *WIDTHS, d_model=16)
    export_model(save_hasher(tmp_path / "hasher.ckpt", hasher, ENCODER), tmp_path / "model", None)
    ours = PortableHasher(tmp_path / "model")
    embedding = torch.randn(WIDTHS[0]).numpy()
    rounded = ours.hash_image(embedding.astype(np.float16).astype(np.float32))["code"]
    assert np.array_equal(ours.hash_image(embedding)["code"], rounded)
    with torch.inference_mode():
        unrounded = hasher.encode(torch.tensor(embedding)[None], None).image[0].numpy()
    assert np.abs(unrounded - rounded).max() > 1e-5
    with pytest.raises(ConfigError, match="exported without its encoder"):
        ours.hash_text("heart")


def test_what_was_written_is_compared(exported: Path, original: QueryHasher, tmp_path: Path) -> None:
    described = json.loads((exported / "model" / "model.json").read_text())
    for path in (exported / "model").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    hasher, encoder = original._hasher, original._encoder
    assert check_export(tmp_path, hasher, encoder) < 1e-5
    for change, said in (
        ({"image": described["image"] | {"resample": "nearest"}}, "pictures"),
        ({"text": described["text"] | {"context_length": 20}}, "tokens"),
    ):
        (tmp_path / "model.json").write_text(json.dumps(described | change))
        with pytest.raises(ConfigError, match=said):
            check_export(tmp_path, hasher, encoder)
    (tmp_path / "model.json").write_text(json.dumps(described))
    with torch.no_grad():
        hasher.image_tower[1].code.weight += 0.1
    try:
        with pytest.raises(ConfigError, match=r"^codes"):
            check_export(tmp_path, hasher, encoder)
    finally:
        with torch.no_grad():
            hasher.image_tower[1].code.weight -= 0.1


def test_what_cannot_be_exported_is_refused(
    tmp_path: Path, image_weights: Path, text_tower: Path, biomedclip: Path, exported: Path
) -> None:
    spec, out = two_towers(image_weights, text_tower), tmp_path / "out"
    checkpoint = checkpoint_of(tmp_path / "hasher.ckpt", build(spec))
    with pytest.raises(DataError, match="is not an empty folder"):
        export_model(checkpoint, exported / "model", spec)
    with pytest.raises(CheckpointError, match="the encoder"):
        export_model(checkpoint, out, two_towers(image_weights, text_tower, context_length=20))
    vectors = save_hasher(tmp_path / "vectors.ckpt", RealValued(*WIDTHS), ENCODER)
    with pytest.raises(CheckpointError, match="has no codes"):
        export_model(vectors, out, None)
    half = open_clip_model(biomedclip, precision="bf16")
    with pytest.raises(ConfigError, match="precision is bf16"):
        export_model(checkpoint_of(tmp_path / "half.ckpt", build(half)), out, half)
    assert not out.exists()
    assert not [path for path in tmp_path.iterdir() if path.is_dir()], "nothing half-written stays"


def test_a_folder_without_a_checkpoint_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["export", str(tmp_path), "--out", str(tmp_path / "out")])
    assert "has no fit/checkpoints/best.ckpt" in capsys.readouterr().err


@pytest.mark.slow
def test_full_size_biomedclip_is_exported(random_towers: ModuleType, tmp_path: Path) -> None:
    """Random weights, the sizes of the real one: ViT-B/16 and BERT base."""
    spec = open_clip_model(random_towers.write_full_biomedclip(tmp_path / "biomedclip"))
    checkpoint = checkpoint_of(tmp_path / "hasher.ckpt", build(spec))
    assert "hasher and encoder written" in export_model(checkpoint, tmp_path / "model", spec)
