import torch

from mcmfh_lightning.encoders.image_tower import rename_efficientnet_lite


def test_blocks_are_counted_by_stage_and_norms_by_their_place() -> None:
    names = {
        "_conv_stem.weight": "conv_stem.weight",
        "_bn0.bias": "bn1.bias",
        "_blocks.0._depthwise_conv.weight": "blocks.0.0.conv_dw.weight",
        "_blocks.0._bn1.weight": "blocks.0.0.bn1.weight",
        "_blocks.0._project_conv.weight": "blocks.0.0.conv_pw.weight",
        "_blocks.0._bn2.running_mean": "blocks.0.0.bn2.running_mean",
        "_blocks.2._expand_conv.weight": "blocks.1.1.conv_pw.weight",
        "_blocks.2._bn0.weight": "blocks.1.1.bn1.weight",
        "_blocks.2._depthwise_conv.weight": "blocks.1.1.conv_dw.weight",
        "_blocks.2._bn1.num_batches_tracked": "blocks.1.1.bn2.num_batches_tracked",
        "_blocks.2._project_conv.weight": "blocks.1.1.conv_pwl.weight",
        "_blocks.2._bn2.weight": "blocks.1.1.bn3.weight",
        "_conv_head.weight": "conv_head.weight",
        "_bn1.weight": "bn2.weight",
        "_fc.bias": "classifier.bias",
    }
    packaged = {name: torch.tensor(number) for number, name in enumerate(names)}
    renamed = rename_efficientnet_lite(packaged, stage_depths=[1, 2, 1])
    assert renamed == {name: torch.tensor(number) for number, name in enumerate(names.values())}
