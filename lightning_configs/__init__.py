"""Configs of ``mcmfh``, installed as ``mcmfh_lightning.lightning_configs``."""

if __name__ != "mcmfh_lightning.lightning_configs":
    # From a clone, the bare name would import a second copy of every class.
    raise ImportError("import mcmfh_lightning.lightning_configs instead: this folder is installed under that name")
