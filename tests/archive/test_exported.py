"""Archives whose queries are encoded by an exported model: what torch finds, without it, or a refusal."""

import json
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mcmfh_lightning.archive import Archive
from mcmfh_lightning.archive.exported import load_exported
from mcmfh_lightning.archive.info import ArchiveInfo, Identity, Location
from mcmfh_lightning.archive.server import routes
from mcmfh_lightning.archive.server.routes import ServedArchive
from mcmfh_lightning.cli.archive import main
from mcmfh_lightning.errors import CheckpointError, ConfigError
from mcmfh_lightning.export.quantization import quantize_text_tower
from mcmfh_lightning.export.write import export_model
from mcmfh_lightning.portable.description import Description

from ..export.conftest import biomedclip, exported, image_weights, random_towers, text_tower  # noqa: F401  # fixtures
from .commands import refused
from .phantom_archive import untrained_checkpoint
from .without_torch import HEAVY

CHECKS = Path(__file__).with_name("without_torch.py")
BLOCKED = f"""
import runpy, sys
sys.modules.update(dict.fromkeys({HEAVY}))  # an import of one fails
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
SEARCHES = (
    {"text": "enlarged heart with pleural effusion", "k": 7},
    {"text": "Scoliosis of the thoracic spine.", "match": "codes", "k": 20},
    {"text": "no pneumothorax", "match": "codes", "against": "image"},
    {"text": "heart " * 300, "match": "codes", "against": "text"},
    {"text": "effusion", "match": "words"},
)


@pytest.fixture(scope="module")
def place(exported_places: list[Path]) -> Path:
    return exported_places[1]


def found(archive: Archive, search: dict) -> dict:
    given = {key: Path(value) if key == "image" else value for key, value in search.items()}
    result = archive.search(**given)
    hits = [[hit.item.id, hit.distance] for hit in result.hits]
    return {"search": search, "hits": hits, "tokens": [result.query_tokens, result.query_tokens_read]}


def write_expected(place: Path, films: Path, target: Path) -> Path:
    archive = Archive.open(place / "archive")
    pictures = [str(path) for path in sorted(films.iterdir())[:2]]
    transparent = np.random.default_rng(0).integers(0, 256, (70, 91, 4), dtype=np.uint8)
    Image.fromarray(transparent).save(target.with_name("transparent.png"))
    searches = [*SEARCHES, *({"image": path} for path in (*pictures, str(target.with_name("transparent.png"))))]
    searches.append({"image": pictures[0], "against": "text", "k": 3})
    target.write_text(json.dumps([found(archive, search) for search in searches]))
    return target


def test_searches_and_service_find_the_same_without_torch(exported_places: list[Path], phantom_pairs: Path) -> None:
    folders = []
    for place in exported_places:
        expected = write_expected(place, phantom_pairs.parent / "images", place / "expected.json")
        folders += [place / "archive", place / "model", expected]
    done = subprocess.run([sys.executable, "-c", BLOCKED, CHECKS, *folders], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("9 searches in Python") == len(exported_places)
    assert done.stdout.count("9 searches by the service") == len(exported_places)
    assert done.stdout.count(f'"{SEARCHES[0]["text"]}"') == len(exported_places)  # the command line's JSON


def test_a_model_of_another_hasher_is_refused(place: Path, phantom_pairs: Path, tmp_path: Path, capsys) -> None:
    checkpoint = untrained_checkpoint(tmp_path / "hasher.ckpt", phantom_pairs, 32)
    export_model(checkpoint, tmp_path / "model", None)
    archive = Archive.open(place / "archive", model=tmp_path / "model")
    assert archive.search(text="effusion", match="words").hits  # which needs no encoder
    with pytest.raises(CheckpointError, match=r"archive\.json has num_bits .*model\.json 32"):
        archive.search(text="effusion")
    said = refused(capsys, "search", place / "archive", "--text", "effusion", "--model", tmp_path / "model")
    assert "model.json 32" in said


def test_a_model_without_its_encoder_is_refused(place: Path, tmp_path: Path) -> None:
    export_model(place / "archive" / "hasher.ckpt", tmp_path / "model", None)
    with pytest.raises(ConfigError, match="exported without its encoder"):
        Archive.open(place / "archive", model=tmp_path / "model").load()


def test_an_int8_model_is_taken_and_named(exported: Path, tmp_path: Path, caplog) -> None:  # noqa: F811  # the fixture
    """The items' codes are those of float32 towers: a text has nearly its code, and a film just its own."""
    folder = shutil.copytree(exported / "model", tmp_path / "model")
    quantize_text_tower(folder)
    described = Description.load(exported / "model")
    identity = {one.name: getattr(described, one.name) for one in fields(Identity)}
    given = {"encoder_spec": {}, "label_vocabulary": (), "store_content": False, "keep_relaxed": True}
    info = ArchiveInfo(**identity, **given, value_range=None, uid="", created_by="")
    theirs = load_exported(exported / "model", Location("archive"), info)
    assert "int8" not in caplog.text
    ours = load_exported(folder, Location("archive"), info)
    assert f"{folder}: its text tower is int8, and the items of archive were encoded in float32" in caplog.text
    codes = [hasher.text("enlarged heart with pleural effusion", "case")["case"] for hasher in (theirs, ours)]
    difference = np.abs(codes[0].relaxed - codes[1].relaxed).max()
    assert 0 < difference < 0.1
    film = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 131), dtype=np.uint8))
    assert np.array_equal(*(hasher.image(film, "case").item.relaxed for hasher in (theirs, ours)))


def test_archives_of_one_model_share_it(place: Path) -> None:
    ours, theirs = (Archive.open(place / name, model=place / "model").load() for name in ("archive", "without"))
    assert ours is not theirs
    assert ours._hasher is theirs._hasher


def test_a_model_runs_on_the_cpu_alone(place: Path, capsys) -> None:
    with pytest.raises(ConfigError, match="device=cuda: an exported model runs on the cpu"):
        Archive.open(place / "archive", "cuda", model=place / "model")
    for command in (["serve", place / "archive"], ["search", place / "archive", "--text", "effusion"]):
        said = refused(capsys, *command, "--model", place / "model", "--device", "cuda")
        assert "an exported model runs on the cpu" in said


def test_a_link_is_switched_by_the_model_of_the_new_archive(
    exported_places: list[Path], tmp_path: Path, monkeypatch, capsys, caplog
) -> None:
    """A service has one model: it stays with the archive of that one, and says so."""
    monkeypatch.setattr(routes, "LOOK_AGAIN_SECONDS", 0.0)
    (old, new), link = exported_places, tmp_path / "live"
    main(["switch", str(link), str(old / "archive"), "--model", str(old / "model")])
    said = refused(capsys, "switch", link, new / "archive", "--model", old / "model")
    assert "archive.json has num_bits 64" in said
    served = ServedArchive(str(link), model=old / "model")
    assert served.with_encoder().info.num_bits == 16
    main(["switch", str(link), str(new / "archive"), "--model", str(new / "model")])
    assert served.current().info.num_bits == 16
    assert "the archive before is served" in caplog.text
    assert ServedArchive(str(link), model=new / "model").with_encoder().info.num_bits == 64


def test_archives_are_compared_each_by_its_own_model(exported_places: list[Path], tmp_path: Path, capsys) -> None:
    old, new = exported_places
    queries = tmp_path / "queries.txt"
    queries.write_text("effusion\nno effusion\n")
    command = ["compare", str(old / "archive"), str(new / "archive"), "--queries", str(queries), "--match", "codes"]
    command += ["--format", "json"]
    main(command)
    by_torch = capsys.readouterr().out
    main([*command, "--old-model", str(old / "model"), "--new-model", str(new / "model")])
    assert capsys.readouterr().out == by_torch
    said = refused(capsys, *command, "--old-model", new / "model", "--new-model", new / "model")
    assert "archive.json has num_bits 16" in said


def test_a_service_is_refused_where_the_model_is_none(place: Path, tmp_path: Path, capsys) -> None:
    said = refused(capsys, "serve", place / "archive", "--model", tmp_path)
    assert f"{tmp_path} is not an exported model" in said
    assert ServedArchive(str(place / "archive"), model=place / "model").with_encoder().is_loaded
    main(["search", str(place / "archive"), "--text", "effusion", "--match", "words"])
