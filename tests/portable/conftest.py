from ..export.conftest import (  # noqa: F401  # fixtures
    biomedclip,
    exported,
    image_weights,
    make_biomedclip,
    text_tower,
)
