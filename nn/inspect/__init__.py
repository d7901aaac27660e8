"""Looking at models: scores, gradients, plots, images.

`nn.inspect.feature_maps`, `grid`, `save_grid`, `wrong_predictions` and `gradient_norms` are those of `images`.
"""

from typing import Any

IMAGES = ("feature_maps", "gradient_norms", "grid", "save_grid", "wrong_predictions")


def __getattr__(name: str) -> Any:
    # imported when they are first asked for: few programs need them
    if name in IMAGES:
        from . import images
        return getattr(images, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
