"""Parameters of an encoder's preprocessing and tokenizer, read from the objects that do it in training."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mcmfh_lightning.encoders import Encoder
from mcmfh_lightning.errors import ConfigError
from mcmfh_lightning.portable.preprocessing import Preprocessing
from mcmfh_lightning.portable.tokenizing import Tokenization

_NOTHING = {"to_rgb", "_convert_to_rgb", "MaybeConvertMode", "ToTensor", "MaybeToTensor"}
"""Transforms that change nothing of an RGB picture but its type."""


def read_preprocessing(transform: Callable[..., Any]) -> Preprocessing:
    """Read the parameters of an evaluation transform of timm or open_clip.

    Raises:
        ConfigError: If it has a step that is not known here.
    """
    known: dict[str, Any] = {"fill": (0, 0, 0)}
    for step in _steps(transform):
        name = getattr(step, "__name__", type(step).__name__)
        if name in ("Resize", "ResizeKeepRatio"):
            known |= _resize(step, name)
            known |= {"out_height": known["height"], "out_width": known["width"]}
        elif name in ("CenterCrop", "CenterCropOrPad"):
            known["out_height"], known["out_width"] = _pair(step.size)
            fill = getattr(step, "fill", 0)
            known["fill"] = (fill,) * 3 if isinstance(fill, int) else tuple(map(int, fill))
        elif name == "Normalize":
            known |= {one: tuple(float(value) for value in getattr(step, one)) for one in ("mean", "std")}
        elif name not in _NOTHING:
            raise ConfigError(
                f"the encoder prepares pictures by {name}, which cannot be exported: take another encoder"
            )
    if missing := Preprocessing.__dataclass_fields__.keys() - known.keys():
        raise ConfigError(
            f"the encoder prepares pictures in an unknown way (no {', '.join(sorted(missing))}): take another encoder"
        )
    return Preprocessing(**known)


def _steps(transform: Any) -> Iterator[Any]:  # noqa: ANN401  # torchvision has no types
    """List the steps of a transform, those of nested ones in place."""
    for step in getattr(transform, "transforms", [transform]):
        yield from _steps(step) if hasattr(step, "transforms") else [step]


def _resize(step: Any, name: str) -> dict[str, Any]:  # noqa: ANN401  # torchvision has no types
    size, resample = step.size, step.interpolation.value
    if name == "ResizeKeepRatio":
        if step.longest not in (0.0, 1.0) or step.random_scale_prob or step.random_aspect_prob:
            raise ConfigError("the encoder scales pictures at random or in between: take another encoder to export")
        fit = "inside" if step.longest else "around"
    else:
        fit = "shorter" if isinstance(size, int) or len(size) == 1 else "exact"
    height, width = _pair(size)
    return {"fit": fit, "height": height, "width": width, "resample": resample}


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    sides = [size] if isinstance(size, int) else list(size)
    return int(sides[0]), int(sides[-1])


def write_tokenizer(encoder: Encoder, file: Path) -> Tokenization:
    """Write an encoder's tokenizer as a file of the ``tokenizers`` library.

    Returns:
        The parameters that the file does not hold.

    Raises:
        ConfigError: If it is not a tokenizer of that library, or changes texts in another way.
    """
    tokenize: Any = encoder.tokenize
    wrapper = tokenize.tokenizer
    inner = getattr(wrapper, "tokenizer", wrapper)  # open_clip wraps those of transformers
    backend = getattr(inner, "backend_tokenizer", None)
    if backend is None:
        raise ConfigError(
            f"the tokenizer {type(inner).__name__} cannot be exported, as it is not one of the tokenizers library: "
            "take an encoder whose text tower is from transformers"
        )
    cleaned = wrapper is not inner
    if cleaned and (_cleaning(wrapper) != "_clean_whitespace" or wrapper.strip_sep_token or wrapper.tokenizer_mode):
        raise ConfigError("the encoder changes texts in a way that cannot be exported: take another encoder")
    copy = type(backend).from_str(backend.to_str())
    copy.no_truncation()
    copy.no_padding()
    copy.save(str(file))
    return Tokenization(
        context_length=int(tokenize.context_length),
        padded=not getattr(tokenize, "trim", True),
        padding_id=int(inner.pad_token_id or 0),
        cleaned=cleaned,
    )


def _cleaning(tokenizer: Any) -> str:  # noqa: ANN401  # open_clip has no types
    return str(tokenizer.clean_fn.__name__)
