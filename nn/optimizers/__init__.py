"""Optimizers: `pre_update_params()`, `update_params(layer)` for each layer, `post_update_params()`, once a step.

The learning rate, a number or a schedule (see schedules.py), decays as learning_rate / (1 + decay * iterations);
`iterations` counts the steps of all trainings. An optimizer itself keeps the state (momentum, moving means) of each
layer, as long as the layer exists, so a layer can change optimizers. The state starts at zero at the first update of a
layer, and again when its parameters get another shape or dtype.

A second training with the same optimizer continues where the first one ended. `reset()` starts the optimizer over.
"""

from .base import _Optimizer, _State
from .clipping import clip_gradients
from .methods import SGD, Adagrad, Adam, AdamW, RMSprop

__all__ = ["Adagrad", "Adam", "AdamW", "RMSprop", "SGD", "_Optimizer", "_State", "clip_gradients"]
