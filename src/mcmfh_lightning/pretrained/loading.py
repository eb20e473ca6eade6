"""Loading of trained hashers: of a run, a checkpoint, a shared folder, or the model hub."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from mcmfh_lightning.encoders import Encoder
from mcmfh_lightning.encoders.spec import TOWER_FILE, build_encoder, check_identity, placed_spec, read_encoder_spec
from mcmfh_lightning.errors import CheckpointError, ConfigError, DataError
from mcmfh_lightning.hashers.checkpoints import CHECKPOINT_KEY
from mcmfh_lightning.hashers.shared import CARD_FILE, CONFIG_FILE, WEIGHTS_FILE, is_shared
from mcmfh_lightning.hashers.stored import build_hasher, read_checkpoint, slimmed, split_encoder, use_trained
from mcmfh_lightning.images.png import ValueRange, check_value_range
from mcmfh_lightning.lightning_configs import find_config
from mcmfh_lightning.pretrained.model import PairHasher
from mcmfh_lightning.pretrained.origin import Origin, find_report
from mcmfh_lightning.trainer.checkpoint_io import weights_sha256
from mcmfh_lightning.trainer.run_files import checkpoints_of

_Made = TypeVar("_Made", bound=PairHasher)


def load(
    path: str | Path,
    *,
    encoder: Encoder | str | Path | None = None,
    device: str = "cpu",
    value_range: ValueRange | None = None,
) -> PairHasher:
    """Load a trained hasher with its encoder, from files of this machine.

    Args:
        path: Folder of a run (its best epoch is taken), a checkpoint, or a folder that
            `PairHasher.save_pretrained` wrote.
        encoder: Encoder of the features that it was trained on: an encoder, or a file that describes one, such as
            ``model/encoder_tuned.yaml``. None takes that of the shared folder, else the two towers of the package
            index. Another encoder than that of the hasher is refused.
        device: Where it runs.
        value_range: Values of pictures of more than 8 bits that become black and white, as in the conversion of the
            training data (``--value-range``). A shared folder has its own, and takes no other.

    Returns:
        The hasher.

    Raises:
        CheckpointError: If there is no trained hasher, it is damaged or has no codes, or the encoder is another one.
        ConfigError: If the encoder cannot be built here, or the value range is not possible.
    """
    place = Path(path)
    if place.is_dir() and is_shared(place):
        loaded = load_shared(PairHasher, place, encoder, device)
        if value_range not in (None, loaded.origin.value_range):
            raise ConfigError(f"{place} has the value range {loaded.origin.value_range}: leave value_range out")
        return loaded
    checkpoint, run = place, place.parent.parent.parent
    if place.is_dir():
        checkpoint, run = checkpoints_of(place) / "best.ckpt", place
    if not checkpoint.is_file():
        raise CheckpointError(
            f"{path} holds neither a run (fit/checkpoints/best.ckpt) nor a shared hasher ({CONFIG_FILE} and "
            f"{WEIGHTS_FILE}): pass the folder of `mcmfh fit`, one of its checkpoints, or what save_pretrained wrote"
        )
    stored = read_checkpoint(checkpoint)
    name = weights_sha256(stored[CHECKPOINT_KEY]["architecture"], stored["state_dict"])
    origin = Origin(
        slimmed(stored), _spec_of(encoder, None), check_value_range(value_range), find_report(run, name), None
    )
    return _build(PairHasher, checkpoint, origin, encoder, device)


def load_shared(kind: type[_Made], folder: Path, encoder: Encoder | str | Path | None, device: str) -> _Made:
    """Load a shared hasher from a folder of this machine.

    Args:
        kind: Class to make.
        folder: The folder.
        encoder: See `load`.
        device: Where it runs.

    Raises:
        CheckpointError: See `load`.
        ConfigError: See `load`.
    """
    shared = read_checkpoint(folder)
    spec = _spec_of(encoder, folder if shared["encoder_spec"] is None else None)
    if encoder is None:
        spec = placed_spec(shared["encoder_spec"], folder)
    try:
        value_range = check_value_range(shared["value_range"])
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{folder / CONFIG_FILE} is damaged (value_range): copy or download it again") from error
    card = folder / CARD_FILE
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else None
    return _build(kind, folder, Origin(slimmed(shared), spec, value_range, None, text), encoder, device)


def fetch(name: str, **options: Any) -> Path:  # noqa: ANN401  # those of huggingface_hub
    """Download a shared hasher from the model hub, or find it in the cache of downloads.

    Args:
        name: ``OWNER/NAME``.
        options: Options of the download.

    Returns:
        Its folder in the cache.

    Raises:
        DataError: If the hub does not give the files.
    """
    files = [CONFIG_FILE, WEIGHTS_FILE, CARD_FILE, TOWER_FILE]
    try:
        return Path(snapshot_download(name, allow_patterns=files, **options))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        raise DataError(
            f"{name} is not a folder, and the model hub does not give it ({type(error).__name__}): check the name, the "
            "network and your access"
        ) from error


def _spec_of(encoder: Encoder | str | Path | None, lacking: Path | None) -> dict[str, Any] | None:
    """Read how to build the encoder; None where it is built already.

    Args:
        encoder: What the user passed.
        lacking: Shared folder that does not describe its encoder.
    """
    if encoder is None and lacking is not None:
        raise CheckpointError(
            f"{lacking}: its encoder was a file of another machine, which is not shared: pass the description of your "
            "copy (in Python encoder=FILE)"
        )
    if isinstance(encoder, Encoder):
        return None
    return read_encoder_spec(None if encoder is None else Path(find_config(str(encoder))))


def _build(kind: type[_Made], place: Path, origin: Origin, given: Encoder | str | Path | None, device: str) -> _Made:
    entry = origin.stored[CHECKPOINT_KEY]
    if not entry["num_bits"]:
        name = entry["architecture"]["hasher"]
        raise CheckpointError(f"{place} holds {name}, which ranks by cosine and has no codes: fit one that hashes")
    if entry["encoder"] is None:
        raise CheckpointError(f"{place} does not say which encoder its features are of: fit it on feature shards")
    try:
        alone, trained = split_encoder(origin.stored)
        hasher = build_hasher(alone, place).hasher
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        # Of another release, whose hasher has other parts or options, or made up.
        raise CheckpointError(
            f"{place} does not fit this release ({type(error).__name__}): install the one that made it "
            f"({entry['package_version']}), or copy it again"
        ) from error
    if isinstance(given, Encoder):
        check_identity(given, entry["encoder"])
        encoder = deepcopy(given) if trained else given
    else:
        assert origin.encoder_spec is not None  # noqa: S101  # it was read
        encoder = build_encoder(origin.encoder_spec, entry["encoder"])
    if trained:
        origin = replace(origin, stored=use_trained(encoder, origin.stored, place))  # what changed is shared
    return kind(hasher, encoder, origin, device)
