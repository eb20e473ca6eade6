"""Pictures to RGB, before the transforms of a model see them."""

from PIL import Image


def to_rgb(image: Image.Image) -> Image.Image:
    """Return a picture as 8-bit RGB; grey becomes three equal channels.

    A function of its own, as transforms that go to loader workers are pickled.
    """
    return image.convert("RGB")
