import hashlib
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from mcmfh_lightning.encoders.weights import checked_sha256, load_weights, state_sha256
from mcmfh_lightning.errors import DataError


def test_checksum(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"abc")
    expected = hashlib.sha256(b"abc").hexdigest()
    assert checked_sha256(path, None) == checked_sha256(path, expected.upper()) == expected
    with pytest.raises(DataError, match="damaged or another version"):
        checked_sha256(path, hashlib.sha256(b"xyz").hexdigest())


def test_state_checksum_sees_names_types_shapes_and_values() -> None:
    def module(**tensors: torch.Tensor) -> nn.Module:
        module = nn.Module()
        for name, tensor in tensors.items():
            module.register_buffer(name, tensor)
        return module

    a, b = torch.arange(4.0), torch.ones(())
    assert state_sha256(module(a=a, b=b)) == state_sha256(module(b=b.clone(), a=a.clone()))
    others = [
        module(a=b, b=a),
        module(a=a, c=b),
        module(a=a.reshape(2, 2), b=b),
        module(a=a.view(torch.int32), b=b),
        module(a=a + torch.eye(4)[3] * 1e-6, b=b),
    ]
    assert len({state_sha256(other) for other in [module(a=a, b=b), *others]}) == 6


@pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")  # of the file that is refused
def test_only_tensors_are_loaded(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": {"a": torch.ones(2)}}, path)
    assert load_weights(path)["a"].tolist() == [1, 1]
    torch.save([torch.ones(2)], path)
    with pytest.raises(DataError, match="not a state dict"):
        load_weights(path)
    torch.save(nn.Linear(2, 2), path)
    with pytest.raises(DataError, match="loaded safely"):
        load_weights(path)
    path.write_bytes(pickle.dumps(Path("/")))
    with pytest.raises(DataError, match="loaded safely"):
        load_weights(path)
