"""Export of trained hashers and their encoders as ONNX, for `mcmfh_lightning.portable`."""
