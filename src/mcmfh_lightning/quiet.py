"""Warnings of libraries that a user of the commands cannot act on, each with the reason why it is not shown."""

import warnings

QUIET: tuple[tuple[str, type[Warning]], ...] = (
    # The stream of each worker knows its own batches, and `BatchLoader` counts what arrives.
    ("Your `IterableDataset` has `__len__` defined", UserWarning),
    # Features are read from mapped files, faster than worker processes could send them; pairs take all cores.
    ("The '\\w+_dataloader' does not have many workers", UserWarning),
    # `mcmfh test` reads checkpoints that `mcmfh fit` wrote to another folder, and writes none.
    ("The dirpath has changed from", UserWarning),
    # A run is resumed in its own folder; `check_unused` refuses the folder of another run.
    ("Checkpoint directory .* exists and is not empty", UserWarning),
    # Testing again replaces the results of the same weights on the same data; `check_results` refuses others.
    ("Experiment logs directory", UserWarning),
    # A fit without validation pairs has nothing to choose by; the last lines of the fit say so.
    ("`ModelCheckpoint\\(monitor=.* could not find", UserWarning),
    # Steps are counted over all epochs, and `ShortFit` has the last step logged where there are fewer in all.
    ("The number of training batches \\(\\d+\\) is smaller than the logging interval", UserWarning),
    # `FeatureWriter` reads the positions from the batch.
    ("Couldn't infer the batch indices", UserWarning),
    # Pairs are embedded by the module, not by the data.
    ("You have overridden `on_after_batch_transfer`", UserWarning),
    # Encoders stay in evaluation mode while a hasher is trained on them.
    ("Found \\d+ module\\(s\\) in eval mode", UserWarning),
    # `mcmfh_lightning.images.dicom` counts what it ignores and refuses the rest; the messages would show header values.
    ("Invalid value for VR", UserWarning),
    ("The value length \\(\\d+\\) exceeds the maximum length of \\d+ allowed for VR", UserWarning),
    ('Value ".*" is not valid for elements with a VR of', UserWarning),
    ("Expected (im|ex)plicit VR, but found (im|ex)plicit VR", UserWarning),
    # `main(args)` of a test or a notebook: called from Python, with its own arguments.
    ("LightningCLI's args parameter is intended to run", UserWarning),
    # They name no file; a picture that cannot be used is reported with its row or id.
    ("Corrupt EXIF data", UserWarning),
    ("Image size \\(\\d+ pixels\\) exceeds limit", RuntimeWarning),
    # Inside lancedb with an early pydantic; about models that archives do not use.
    ('Field "model_name" in \\w+ has conflict with protected namespace', UserWarning),
    # A file that is not one of ours; it is refused, and the message names it.
    ("Detected pickle protocol \\d+ in the checkpoint", UserWarning),
    # Inside Lightning, which still asks for the class that a later torch renamed.
    ("`isinstance\\(treespec, LeafSpec\\)` is deprecated", FutureWarning),
)
"""The beginning of each message, as a regular expression, and its category."""


def quiet_libraries() -> None:
    """Hide the warnings of `QUIET` in this process."""
    for message, category in QUIET:
        warnings.filterwarnings("ignore", message=message, category=category)
