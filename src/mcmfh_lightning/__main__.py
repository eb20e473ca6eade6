"""``python -m mcmfh_lightning`` is ``mcmfh``."""

from mcmfh_lightning.cli.main import main

if __name__ == "__main__":
    main()
