"""What goes into an archive: refusals name folders without passwords."""

import functools
import http.server
import json
import logging
import threading

import numpy as np
import pytest
import torch

from mcmfh_lightning.archive.source import Source
from mcmfh_lightning.encoders import Encoder
from mcmfh_lightning.errors import DataError

from .collection import make_pair, write_features, write_pairs


class Simple(Encoder):
    """Image: mean gray. Text: its length, of which 26 characters fit."""

    image_dim = text_dim = 1
    preprocess = staticmethod(lambda picture: torch.tensor(np.asarray(picture)).permute(2, 0, 1)[:, :8, :8])

    @staticmethod
    def tokenize(texts):
        lengths = torch.tensor([len(text) for text in texts])
        return {"length": lengths, "truncated": lengths > 26}

    def encode_image(self, image):
        return image.float().mean(dim=(1, 2, 3))[:, None]

    def encode_text(self, text):
        return text["length"].float()[:, None]


@pytest.fixture
def address(tmp_path):
    """Features of other pairs than those next to them, on a loopback server that is asked with a password."""
    write_pairs(tmp_path / "pairs", range(10))
    write_features(tmp_path / "features", range(10))
    described = tmp_path / "features" / "dataset.json"
    described.write_text(json.dumps(json.loads(described.read_text()) | {"settings": {"pairs_sha256": "of others"}}))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://me:secret@127.0.0.1:{server.server_port}"
        server.shutdown()


def test_features_of_other_pairs_are_refused_without_the_password(address, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(DataError, match=r"was not made of .*pass the pairs that were encoded") as caught:
        Source(f"{address}/features", f"{address}/pairs")
    assert "secret" not in str(caught.value)


def test_texts_that_are_cut_on_the_way_into_an_archive_are_counted(tmp_path, caplog):
    source = Source(None, str(write_pairs(tmp_path / "pairs", range(110))))
    with caplog.at_level(logging.WARNING):
        batches = list(source.batches(np.arange(110), Simple(), "cpu"))
    assert sum(len(batch["index"]) for batch in batches) == 110
    # "Finding N of O'Hara: naïve." has 26 characters where N has one digit, 28 where it has three.
    texts = [text for text in (make_pair(number).text for number in range(110)) if text is not None]
    cut = sum(len(text) > 26 for text in texts)
    assert f"longer than the encoder's context were cut: {cut} of {len(texts)}" in caplog.text
