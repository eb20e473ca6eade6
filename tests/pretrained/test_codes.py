"""Codes of images, texts and pairs from Python, and their search."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mcmfh_lightning import load
from mcmfh_lightning.errors import CheckpointError, ConfigError, DataError
from mcmfh_lightning.hashers import RealValued
from mcmfh_lightning.hashers.checkpoints import CHECKPOINT_KEY
from mcmfh_lightning.hashers.stored import load_hasher
from mcmfh_lightning.searches import SEARCHES
from tests.images.dicom_files import write_dicom

from .conftest import TEXTS
from .planted import Planted


def by_hand(run: Path, films: list[Image.Image], what: str) -> np.ndarray:
    """Codes by the hasher's own methods, one item after the other: `encode_query`, `encode` or `evaluate`."""
    own, encoder = load_hasher(run / "fit" / "checkpoints" / "best.ckpt").hasher, Planted()
    codes = []
    for film, text in zip(films, TEXTS, strict=True):
        image = encoder.encode_image(encoder.preprocess(film)[None]).half().float()
        words = encoder.encode_text(encoder.tokenize([text])).half().float()
        with torch.inference_mode():
            if what in SEARCHES:
                relaxed = own.encode_query(what, image if what[0] == "i" else words)
            elif what == "case":
                relaxed = own.evaluate({"image": image, "text": words})["case"]
            else:
                relaxed = getattr(own.encode(image, None) if what == "image" else own.encode(None, words), what)
        codes.append(np.packbits(relaxed[0].numpy() >= 0))
    return np.stack(codes)


@pytest.mark.parametrize("search", SEARCHES)
def test_queries_have_the_codes_of_their_search(hasher, run, films, search):
    encode, given = (hasher.encode_images, films) if search[0] == "i" else (hasher.encode_texts, TEXTS)
    codes = encode(given, search=search)
    assert codes.dtype == np.uint8
    assert codes.shape == (3, 2)
    assert np.array_equal(codes, by_hand(run, films, search))
    assert not np.array_equal(codes, encode(given))  # there is a head for each search


def test_items_have_their_codes(hasher, run, films):
    pairs = hasher.encode_pairs(films, TEXTS)
    assert np.array_equal(pairs, by_hand(run, films, "case"))
    assert np.array_equal(hasher.encode_images(films), by_hand(run, films, "image"))
    assert np.array_equal(hasher.encode_texts(TEXTS), by_hand(run, films, "text"))
    mixed = hasher.encode_pairs([films[0], None, films[2]], [None, TEXTS[1], TEXTS[2]])
    expected = [hasher.encode_images(films[0])[0], hasher.encode_texts(TEXTS[1])[0], pairs[2]]
    assert np.array_equal(mixed, expected)


def test_a_picture_has_one_code_in_whatever_form_it_comes(hasher, films, tmp_path):
    pixels = np.asarray(films[0])
    films[0].save(tmp_path / "film.png")
    color = np.repeat(pixels[..., None], 3, axis=2)
    forms = [films[0], tmp_path / "film.png", str(tmp_path / "film.png"), pixels, color, films[0].convert("RGB")]
    forms += [pixels.astype(np.uint16) * 257, write_dicom(tmp_path / "film.dcm", pixels)]
    due = hasher.encode_images(films[0])
    assert due.shape == (1, 2)
    assert all(np.array_equal(hasher.encode_images(form), due) for form in forms)
    assert np.array_equal(hasher.encode_images(forms), np.repeat(due, len(forms), axis=0))
    assert len(hasher.encode_images([])) == 0


def test_more_than_a_batch(hasher, films):
    assert np.array_equal(hasher.encode_images(films * 30), np.tile(hasher.encode_images(films), (30, 1)))


def test_values_of_deep_pictures(run, tmp_path):
    deep = np.linspace(0, 4095, 24 * 24).reshape(24, 24).astype(np.uint16)
    plain, ranged = (load(run, encoder=Planted(), value_range=values) for values in (None, (0, 400)))
    eight = (np.clip(deep / 400, 0, 1) * 255).round().astype(np.uint8)
    assert np.array_equal(ranged.encode_images(deep), plain.encode_images(eight))
    assert not np.array_equal(ranged.encode_images(deep), plain.encode_images(deep))
    with pytest.raises(ConfigError, match="5"):
        load(run, encoder=Planted(), value_range=(5, 1))


def test_distances_and_nearest_are_those_of_numpy(hasher):
    rng = np.random.default_rng(0)
    queries, items = (rng.integers(0, 256, (n, 2), dtype=np.uint8) for n in (5, 40))
    due = np.unpackbits(queries[:, None] ^ items[None], axis=2).sum(2)
    assert np.array_equal(hasher.distances(queries, items), due)
    found = hasher.nearest(queries, items, k=7)
    order = np.argsort(due, axis=1, kind="stable")[:, :7]
    assert np.array_equal(found.rows, order)
    assert np.array_equal(found.distances, np.take_along_axis(due, order, 1))
    assert hasher.nearest(queries, items[:3]).rows.shape == (5, 3)
    assert hasher.nearest(queries, items[:0]).rows.shape == (5, 0)
    with pytest.raises(ConfigError, match="16 bits"):
        hasher.distances(queries, items[:, :1])
    with pytest.raises(ConfigError, match="k=0"):
        hasher.nearest(queries, items, k=0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda one, films: one.encode_images(films, search="t2i"), ConfigError, "'t2i' is not a search by images"),
        (lambda one, films: one.encode_texts(TEXTS, search="x"), ConfigError, "one of t2i, t2t, t2case"),
        (lambda one, films: one.encode_texts(["a", " "]), DataError, "text 2 of 2 is empty"),
        (lambda one, films: one.encode_pairs(films, ["a"]), DataError, "3 images and 1 texts"),
        (lambda one, films: one.encode_pairs([None], [None]), DataError, "case 1 of 1 has neither"),
        (lambda one, films: one.encode_images("nowhere.png"), DataError, "nowhere.png: image file that cannot be read"),
        (lambda one, films: one.encode_images(np.zeros((4, 4, 3), np.float32)), DataError, "image 1 of 1: an array of"),
        (lambda one, films: one.encode_images([films[0], np.zeros((0, 4), np.uint8)]), DataError, "image 2 of 2: an"),
    ],
)
def test_what_cannot_be_hashed_is_named(hasher, films, call, error, message):
    with pytest.raises(error, match=message):
        call(hasher, films)


def test_a_path_that_holds_no_hasher_is_named(run, tmp_path):
    for path in (tmp_path, tmp_path / "none", run.parent / "features"):
        with pytest.raises(CheckpointError, match="holds neither a run"):
            load(path)
    (tmp_path / "x.ckpt").write_text("no checkpoint")
    with pytest.raises(CheckpointError, match=r"x\.ckpt cannot be read"):
        load(tmp_path / "x.ckpt")


def test_another_encoder_and_methods_without_codes_are_refused(run, tmp_path):
    with pytest.raises(CheckpointError, match=r"encoder 'planted', this one is 'other'"):
        load(run, encoder=Planted("other"))
    with pytest.raises(ConfigError, match=r"no_such\.yaml: no such file"):
        load(run, encoder="no_such.yaml")
    own = RealValued(24, 16, d_model=16)
    stored = {"state_dict": own.state_dict()}
    own.on_save_checkpoint(stored)
    stored[CHECKPOINT_KEY] |= {"encoder": {"name": "planted"}, "label_vocabulary": []}
    torch.save(stored, tmp_path / "real.ckpt")
    with pytest.raises(CheckpointError, match="RealValued, which ranks by cosine"):
        load(tmp_path / "real.ckpt", encoder=Planted())
