from ..export.conftest import (  # noqa: F401  # fixtures
    biomedclip,
    exported,
    image_weights,
    random_towers,
    text_tower,
)
