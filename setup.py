"""List the packages: those below src, and the two folders that the top of the tree shows. All else: pyproject.toml."""

from setuptools import find_packages, setup

MAPPED = ["mcmfh_lightning.datamodules", "mcmfh_lightning.lightning_configs"]

setup(packages=[*find_packages("src"), *MAPPED])
