"""Archives of checkpoints that were trained end to end: codes and searches by the encoder that the checkpoint holds."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from lightning.pytorch import seed_everything

import mcmfh_lightning
from mcmfh_lightning.archive import Archive
from mcmfh_lightning.archive.info import ArchiveInfo
from mcmfh_lightning.archive.model import identity_of
from mcmfh_lightning.archive.server.app import create_app
from mcmfh_lightning.archive.server.routes import ServedArchive
from mcmfh_lightning.cli.archive import main
from mcmfh_lightning.cli.main import main as mcmfh
from mcmfh_lightning.encoders import Encoder
from mcmfh_lightning.encoders.base import embed_pairs
from mcmfh_lightning.hashers import EndToEnd, RealValued
from mcmfh_lightning.hashers.base import Hasher
from mcmfh_lightning.shards import Pair, PairShardReader, decode_image
from tests.hashers import end_to_end_pairs as tiny

from ..encoders.conftest import image_weights, no_network, random_towers, text_tower  # noqa: F401  # fixtures
from ..export.tiny import build, save_hasher, two_towers, write_spec
from .collection import write_features
from .commands import refused, rows
from .service import client_of

BITS = 24
TRAINABLE = ["image_tower.norm", "text_tower.model.encoder.layer.1"]


class Trained(NamedTuple):
    """A hasher and its encoder, trained for one step; ``folder`` has ``pairs``, ``best.ckpt``, ``encoder.yaml``."""

    folder: Path
    model: EndToEnd
    spec: dict[str, Any]
    pairs: list[Pair]


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory,
    image_weights: Path,  # noqa: F811  # the fixture
    text_tower: Path,  # noqa: F811  # the fixture
) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    spec = two_towers(image_weights, text_tower)
    write_spec(folder / "encoder.yaml", spec)
    data = tiny.make_data(tiny.write_pairs(folder / "pairs"))
    seed_everything(0, verbose=False)
    # At a high rate, so that one step changes codes.
    optimizer = partial(torch.optim.AdamW, lr=1e-2)
    hasher = tiny.two_tower(num_bits=BITS, optimizer=optimizer)
    model = EndToEnd(hasher, build(spec), TRAINABLE, encoder_lr_scale=10.0)
    trainer = tiny.make_trainer(folder, limit_val_batches=0, max_epochs=None, max_steps=1)
    trainer.fit(model, data)
    trainer.save_checkpoint(folder / "best.ckpt")
    pairs = [pair for split in ("train", "val", "test") for pair in PairShardReader(folder / "pairs", split)]
    return Trained(folder, model.eval(), spec, pairs)


def build_archive(trained: Trained, archive: Path, checkpoint: Path, *options: str) -> Path:
    shards = ["--pairs", str(trained.folder / "pairs"), "--encoder", str(trained.folder / "encoder.yaml")]
    main(["build", str(archive), "--checkpoint", str(checkpoint), *shards, "--store-content", *options])
    return archive


@pytest.fixture(scope="module")
def archive(trained: Trained) -> Iterator[Path]:
    place = build_archive(trained, trained.folder / "archive", trained.folder / "best.ckpt")
    loaded = Archive.open(place).load()  # while it is there, archives that are opened share its encoder
    yield place
    del loaded


def own_codes(encoder: Encoder, hasher: Hasher, pair: Pair) -> dict[str, torch.Tensor]:
    """Relaxed codes of one pair by a module, without the archive's own loading, batches and hashing."""
    batch = {
        "image": torch.empty(0) if pair.image is None else encoder.preprocess(decode_image(pair.image))[None],
        "text": {} if pair.text is None else encoder.tokenize([pair.text]),
        "present": torch.tensor([[pair.image is not None, pair.text is not None]]),
    }
    with torch.inference_mode():
        features = embed_pairs(encoder, batch)
        for name in ("image", "text"):
            features[name] = features[name].half().float()  # as feature shards and archives round them
        return {side: code[0] for side, code in hasher.evaluate(features).items() if side in ("image", "text", "case")}


def test_codes_are_those_of_the_module_with_its_trained_encoder(trained: Trained, archive: Path) -> None:
    model, stored, frozen = trained.model, rows(archive), build(trained.spec)
    assert stored.keys() == {pair.id for pair in trained.pairs}
    compared = unsure = other = 0
    for pair in trained.pairs:
        due, by_frozen = (own_codes(encoder, model, pair) for encoder in (model.encoder, frozen))
        whole = pair.image is not None and pair.text is not None
        for side in ("image", "text", *(["case"] if whole else [])):
            code = stored[pair.id][f"{side}_code"]
            if getattr(pair, side, pair) is None:
                assert code is None
                continue
            bits = np.unpackbits(np.frombuffer(code, np.uint8))[:BITS].astype(bool)
            relaxed = due[side].numpy()
            sure = np.abs(relaxed) > 1e-5  # else rounding decides, which depends on the batch
            assert np.array_equal(bits[sure], relaxed[sure] >= 0), (pair.id, side)
            compared, unsure = compared + BITS, unsure + int((~sure).sum())
            other += int((bits != (by_frozen[side].numpy() >= 0)).sum())
    assert unsure < compared / 1000
    assert other > compared / 100  # by the same hasher, and the encoder as it was before


def test_known_items_are_found_first(trained: Trained, archive: Path, tmp_path: Path, capsys) -> None:
    opened = Archive.open(archive)
    for pair in trained.pairs[5:8]:
        (tmp_path / "film.png").write_bytes(pair.image)
        for image in (tmp_path / "film.png", decode_image(pair.image)):
            hit = opened.search(image=image, k=3).hits[0]
            assert (hit.item.id, hit.alike) == (pair.id, True)
            hit = opened.search(image=image, against="image", k=3).hits[0]
            assert (hit.item.id, hit.distance) == (pair.id, 0)
        nearest = opened.search(text=pair.text, match="codes", against="text", k=3).hits[0]
        # The tiny tower reads the first word alone, and others have it too.
        assert (nearest.item.text.split()[0], nearest.distance) == (pair.text.split()[0], 0)
    client = client_of(create_app({"": ServedArchive(str(archive))}))
    text = {"text": trained.pairs[5].text, "match": "codes"}
    found = [hit.item.id for hit in opened.search(**text, k=5).hits]
    answer = client.post("/api/search", json={**text, "k": 5}).json()
    assert [hit["item"]["id"] for hit in answer["hits"]] == found
    capsys.readouterr()
    main(["search", str(archive), "--text", text["text"], "--match", "codes", "--k", "5", "--format", "json"])
    assert [hit["item"]["id"] for hit in json.loads(capsys.readouterr().out)["hits"]] == found


def test_an_item_finds_the_nearest_codes(trained: Trained, archive: Path) -> None:
    stored = rows(archive)
    asked = trained.pairs[5].id
    codes = {name: np.frombuffer(row["case_code"], np.uint8) for name, row in stored.items()}
    query = np.frombuffer(stored[asked]["image_code"], np.uint8)
    distances = {name: int(np.bitwise_count(query ^ code).sum()) for name, code in codes.items()}
    group = stored[asked]["group_name"]
    due = sorted((distances[name], name) for name in stored if stored[name]["group_name"] != group)[:10]
    hits = Archive.open(archive).search(id=asked, against="case", rerank=0, k=10).hits
    assert [(hit.distance, hit.item.id) for hit in hits] == due


def test_a_shared_folder_makes_the_same_archive(trained: Trained, archive: Path, tmp_path: Path, capsys) -> None:
    checkpoint, spec = trained.folder / "best.ckpt", trained.folder / "encoder.yaml"
    loaded = mcmfh_lightning.load(checkpoint, encoder=spec)
    loaded.save_pretrained(tmp_path / "shared")
    again = build_archive(trained, tmp_path / "archive", tmp_path / "shared")
    ours, theirs = (ArchiveInfo.load(place) for place in (again, archive))
    assert (ours.weights_sha256, ours.encoder) == (theirs.weights_sha256, theirs.encoder)
    assert ours.weights_sha256 == json.loads((tmp_path / "shared" / "config.json").read_text())["weights_sha256"]
    assert rows(again) == rows(archive)
    whole = [pair for pair in trained.pairs if pair.image is not None and pair.text is not None][:5]
    shared = mcmfh_lightning.load(tmp_path / "shared", encoder=spec)
    codes = shared.encode_pairs([decode_image(pair.image) for pair in whole], [pair.text for pair in whole])
    assert [code.tobytes() for code in codes] == [rows(archive)[pair.id]["case_code"] for pair in whole]
    assert (archive / "hasher.ckpt").stat().st_size < checkpoint.stat().st_size / 2  # what changed, without the rest
    for place, other in ((again, checkpoint), (archive, tmp_path / "shared"), (again, archive / "hasher.ckpt")):
        capsys.readouterr()
        main(["add", str(place), "--pairs", str(trained.folder / "pairs"), "--checkpoint", str(other)])
        assert "0 new items" in capsys.readouterr().out


@pytest.mark.usefixtures("no_network")
def test_it_is_verified_and_built_again(trained: Trained, archive: Path, tmp_path: Path, capsys) -> None:
    main(["verify", str(archive)])
    lines = capsys.readouterr().out.splitlines()
    [recomputed] = [line for line in lines if "codes are those that the hasher computes" in line]
    assert " ok " in recomputed
    checkpoint = str(trained.folder / "best.ckpt")  # its encoder began as that of the archive: no --encoder
    main(["build", str(tmp_path / "again"), "--from", str(archive), "--checkpoint", checkpoint])
    assert rows(tmp_path / "again") == rows(archive)


def changed(trained: Trained, target: Path, name: str) -> Path:
    stored = torch.load(trained.folder / "best.ckpt", weights_only=True)
    stored["state_dict"][name] = stored["state_dict"][name] + 0.01
    torch.save(stored, target)
    return target


@pytest.mark.parametrize("name", ["image_tower.norm.weight", "image_tower.blocks.0.norm1.weight"])
def test_another_weight_of_the_encoder_is_another_identity(
    trained: Trained, archive: Path, tmp_path: Path, capsys, name: str
) -> None:
    """A weight that was trained, and one that was not."""
    checkpoint = changed(trained, tmp_path / "changed.ckpt", f"encoder.{name}")
    mine = ArchiveInfo.load(build_archive(trained, tmp_path / "archive", checkpoint))
    due = ArchiveInfo.load(archive)
    assert mine.encoder["name"] == due.encoder["name"] == "test_vit + bert (trained end to end)"
    assert mine.encoder["trained_sha256"] != due.encoder["trained_sha256"]
    assert mine.weights_sha256 != due.weights_sha256
    assert mine.encoder_before == due.encoder_before == build(trained.spec).identity
    for place in (archive, tmp_path / "archive"):
        other = {archive: checkpoint, tmp_path / "archive": trained.folder / "best.ckpt"}[place]
        said = refused(capsys, "add", place, "--pairs", trained.folder / "pairs", "--checkpoint", other)
        assert f"{other} has weights_sha256" in said


def test_features_and_hashers_of_the_frozen_encoder_are_refused(
    trained: Trained, archive: Path, tmp_path: Path, capsys
) -> None:
    frozen = build(trained.spec).identity
    features = write_features(tmp_path / "features", range(5), encoder=frozen)
    before, pairs = rows(archive), ["--pairs", trained.folder / "pairs"]
    create = ["build", tmp_path / "new", "--checkpoint", trained.folder / "best.ckpt"]
    for command in ([*create], [*create, *pairs], ["add", archive], ["upsert", archive]):
        said = refused(capsys, *command, "--features", features)
        assert f"{features} holds features, and the hasher was trained end to end" in said
        assert "pass --pairs DIR alone" in said
    assert not (tmp_path / "new").exists()
    plain = save_hasher(tmp_path / "plain.ckpt", trained.model.hasher, frozen)  # of equal weights
    assert identity_of(plain).encoder == ArchiveInfo.load(archive).encoder_before
    by_frozen = build_archive(trained, tmp_path / "plain", plain, "--splits", "test")
    for place, other, name in (
        (archive, plain, "TwoTower"),
        (by_frozen, trained.folder / "best.ckpt", "EndToEnd(TwoTower)"),
    ):
        assert f"{other} has hasher {name}, {place} " in refused(capsys, "add", place, *pairs, "--checkpoint", other)
    assert rows(archive) == before


def test_another_encoder_is_refused(trained: Trained, tmp_path: Path, capsys) -> None:
    spec = {**trained.spec, "init_args": trained.spec["init_args"] | {"context_length": 20}}
    write_spec(tmp_path / "other.yaml", spec)
    options = ["--pairs", trained.folder / "pairs", "--encoder", tmp_path / "other.yaml"]
    said = refused(capsys, "build", tmp_path / "new", "--checkpoint", trained.folder / "best.ckpt", *options)
    assert "the codes are of the encoder 'test_vit + bert' with text" in said
    assert "pass a description of the former (--encoder FILE" in said
    assert not (tmp_path / "new").exists()


def test_a_method_without_codes_is_refused(trained: Trained, tmp_path: Path, capsys) -> None:
    model = EndToEnd(partial(RealValued, d_model=8), tiny.Tiny(), [])
    stored: dict[str, Any] = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(stored)
    torch.save(stored, tmp_path / "vectors.ckpt")
    options = ["--checkpoint", tmp_path / "vectors.ckpt", "--pairs", trained.folder / "pairs"]
    said = refused(capsys, "build", tmp_path / "new", *options)
    assert "holds EndToEnd(RealValued), which ranks by cosine and has no codes" in said


def test_a_damaged_archive_is_reported_in_one_line(trained: Trained, archive: Path, tmp_path: Path, capsys) -> None:
    place = build_archive(trained, tmp_path / "archive", trained.folder / "best.ckpt", "--splits", "test")
    stored = torch.load(place / "hasher.ckpt", weights_only=True)
    key = next(key for key in stored["state_dict"] if key.startswith("encoder."))
    stored["state_dict"][key] += 1
    torch.save(stored, place / "hasher.ckpt")
    assert "hasher.ckpt" in refused(capsys, "search", place, "--text", "normal", "--match", "codes")
    stored["state_dict"]["encoder.surprise"] = stored["state_dict"].pop(key)
    torch.save(stored, place / "hasher.ckpt")
    identity, info = identity_of(place / "hasher.ckpt"), json.loads((place / "archive.json").read_text())
    info |= {"weights_sha256": identity.weights_sha256, "encoder": identity.encoder}  # as if written together with it
    (place / "archive.json").write_text(json.dumps(info))
    said = refused(capsys, "search", place, "--text", "normal", "--match", "codes")
    assert f"{place}/hasher.ckpt: its encoder has no surprise" in said


def test_it_is_exported(trained: Trained, archive: Path, tmp_path: Path, capsys) -> None:
    encoder = ["--encoder", str(trained.folder / "encoder.yaml")]
    mcmfh(["export", str(archive / "hasher.ckpt"), "--out", str(tmp_path / "model"), *encoder])
    by_torch, by_model = Archive.open(archive), Archive.open(archive, model=tmp_path / "model")
    for pair in trained.pairs[:3]:
        for query in ({"text": pair.text, "match": "codes"}, {"image": decode_image(pair.image)}):
            hits = [[(hit.item.id, hit.distance) for hit in one.search(**query).hits] for one in (by_torch, by_model)]
            assert hits[0] == hits[1]
    with pytest.raises(SystemExit):
        mcmfh(["export", str(trained.folder / "best.ckpt"), "--out", str(tmp_path / "none"), "--from-features"])
    said = capsys.readouterr().err
    assert "was trained end to end, with an encoder of its own: leave out --from-features" in said
    assert not (tmp_path / "none").exists()
