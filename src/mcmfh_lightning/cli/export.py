"""The ``mcmfh export`` command: a trained hasher and its encoder as files that run without torch."""

from pathlib import Path

from mcmfh_lightning.errors import say
from mcmfh_lightning.lightning_configs import find_config


def export(
    run: Path, *, out: Path, encoder: Path | None = None, from_features: bool = False, int8: bool = False
) -> None:
    """Write a trained hasher and its encoder as ONNX, for machines without torch.

    What was written is compared with the original: pictures, tokens, embeddings and codes.

    Args:
        run: Folder of a run, as `mcmfh fit --run-dir` wrote it, or a checkpoint.
        out: Folder to make.
        encoder: YAML file of the hasher's encoder, as model/encoder_offline.yaml, which is the default.
        from_features: Leave the encoder out: embeddings are the input.
        int8: Write the text tower with 8-bit weights: smaller, and a few bits of a text's code change.
    """
    from mcmfh_lightning.encoders.spec import read_encoder_spec
    from mcmfh_lightning.export.write import export_model, find_checkpoint

    spec = None
    if not from_features:
        spec = read_encoder_spec(None if encoder is None else Path(find_config(str(encoder))))
    say(f"{out}: {export_model(find_checkpoint(run), out, spec, int8=int8)}")
