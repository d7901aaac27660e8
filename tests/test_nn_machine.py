"""A model under any sequence of what users do with one, beside a loop of a reader's own over the same layers: the same
bits in parameters, figures and predictions, and errors only where the documents say so."""

import copy
import pickle
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (RuleBasedStateMachine, initialize, invariant, precondition, rule,
                                 run_state_machine_as_test)

from nnjit import kernels, nn
from nnjit.nn.parameters import state_of

SAMPLES, WIDTH = 23, 4
rng = np.random.default_rng(0)
X = rng.standard_normal((SAMPLES, WIDTH)).astype(np.float32)
Y = np.eye(WIDTH, dtype=np.float32)[rng.integers(0, WIDTH, SAMPLES)]  # for all losses
WEIGHTS = rng.random(SAMPLES)
IMAGE = (1, 2, 2)  # of WIDTH elements
LAYERS = {
    "dense": lambda seed: [nn.Dense(WIDTH, WIDTH, rng=seed)],
    "relu": lambda seed: [nn.Dense(WIDTH, WIDTH, activation="relu", weight_regularizer_l2=1e-2, rng=seed)],
    "sigmoid": lambda seed: [nn.Dense(WIDTH, WIDTH, activation="sigmoid", bias_regularizer_l1=1e-3, rng=seed)],
    "tanh": lambda seed: [nn.Tanh()], "dropout": lambda seed: [nn.Dropout(0.25, seed=seed)],
    "flatten": lambda seed: [nn.Flatten()], "softmax": lambda seed: [nn.Softmax()],
    "batch norm": lambda seed: [nn.BatchNorm(WIDTH)], "layer norm": lambda seed: [nn.LayerNorm(WIDTH)],
    "convolution": lambda seed: [nn.Reshape(IMAGE), nn.Conv2d(1, WIDTH, 2, activation="relu", rng=seed), nn.Flatten()],
    "transposed": lambda seed: [nn.Reshape((WIDTH, 1, 1)), nn.ConvTranspose2d(WIDTH, 1, 2, rng=seed), nn.Flatten()],
    "pooling": lambda seed: [nn.Reshape(IMAGE), nn.Upsample(2), nn.MaxPool2d(2), nn.Flatten()]}
LOSSES = (nn.SoftmaxCategoricalCrossentropy, nn.CategoricalCrossentropy, nn.MeanSquaredError, nn.BinaryCrossentropy,
          nn.SigmoidBinaryCrossentropy,
          lambda: nn.SoftmaxCategoricalCrossentropy(label_smoothing=0.125, class_weights=[1, 2, 0.5, 1]))
OPTIMIZERS = (lambda: nn.SGD(0.05), lambda: nn.SGD(0.05, momentum=0.5, nesterov=True),
              lambda: nn.Adam(0.01, decay=1e-2),
              lambda: nn.RMSprop(nn.schedules.Cosine(0.01, steps=50)), lambda: nn.AdamW(0.01), lambda: nn.Adagrad(0.02))


class Bare:
    """A sigmoid layer without its activation."""

    def __init__(self, layer):
        self.layer = layer

    def without(self, method, *arguments):
        self.layer.activation = None
        try:
            return method(*arguments)
        finally:
            self.layer.activation = "sigmoid"

    def forward(self, x, training):
        return self.without(self.layer.forward, x)

    def backward(self, gradient):
        return self.without(self.layer.backward, gradient)


class Reader:
    """What a reader would write in place of Model: a loop over layers."""

    def __init__(self):
        self.layers, self.frozen = [], set()  # of their places
        self.loss = self.optimizer = self.clip_norm = None
        self.losses = []

    @property
    def parametrized(self):
        return [layer for layer in self.layers if layer.parameters]

    @property
    def trainable(self):
        frozen = [self.layers[place] for place in self.frozen]
        return [layer for layer in self.parametrized if layer not in frozen]

    def error(self):
        """Whether finalize must refuse."""
        if not self.layers or self.loss is None or isinstance(self.loss, nn.MeanSquaredError):
            return not self.layers
        layers = [*self.layers]
        while layers and isinstance(layers[-1], (nn.Dropout, nn.Flatten)):
            layers.pop()
        gives = layers and ("softmax" if isinstance(layers[-1], nn.Softmax) else
                            getattr(layers[-1], "activation", None))
        behind = self.layers[len(layers):]
        if type(self.loss) is nn.SoftmaxCategoricalCrossentropy or type(self.loss) is nn.SigmoidBinaryCrossentropy:
            return gives in ("softmax", "sigmoid")
        if any(isinstance(layer, nn.Dropout) for layer in behind):
            return True
        if not layers:
            return False
        joined = "softmax" if type(self.loss) is nn.CategoricalCrossentropy else "sigmoid"
        return bool(behind) if gives == joined else (gives, joined) != ("softmax", "sigmoid")

    def forward(self, x, training=False):
        for layer in self.layers:
            x = layer.forward(x, training)
        return x

    def parts(self):
        if isinstance(self.layers[-1], nn.Softmax) and isinstance(self.loss, nn.CategoricalCrossentropy):
            return self.layers[:-1], nn.SoftmaxCategoricalCrossentropy()
        if getattr(self.layers[-1], "activation", None) == "sigmoid" and type(self.loss) is nn.BinaryCrossentropy:
            return [*self.layers[:-1], Bare(self.layers[-1])], nn.SigmoidBinaryCrossentropy()
        return self.layers, self.loss

    def scores(self, x, y, weights, training):
        scoring, loss = self.parts()
        for layer in scoring:
            x = layer.forward(x, training)
        return scoring, loss, self.loss.accumulate(loss.forward(x, y, weights))

    def step(self, x, y, weights):
        scoring, loss, _ = self.scores(x, y, weights, True)
        penalty = 0.0
        for layer in self.parametrized:
            for each in layer.penalties():
                penalty += each
        self.step_from(loss.backward(loss.output, y, weights), scoring)
        return penalty

    def step_from(self, gradient, layers):
        for layer in reversed(layers):
            gradient = layer.backward(gradient)
        if self.clip_norm is not None:
            nn.clip_gradients(self.trainable, self.clip_norm)
        self.optimizer.pre_update_params()
        for layer in self.trainable:
            self.optimizer.update_params(layer)
        self.optimizer.post_update_params()
        return gradient

    def train(self, x, epochs, batch, seed, weights):
        batch = min(batch or SAMPLES, SAMPLES)
        for _ in range(epochs):
            order = (np.arange(SAMPLES) if seed is None else
                     np.random.default_rng([seed, len(self.losses)]).permutation(SAMPLES))
            penalties = 0.0
            self.loss.new_pass()
            for start in range(0, SAMPLES, batch):
                rows = order[start:start + batch]
                penalties += self.step(x[rows], Y[rows], None if weights is None else weights[rows]) * len(rows)
            self.losses.append(self.loss.calculate_accumulated() + penalties / SAMPLES)

    def evaluate(self, batch, weights):
        self.loss.new_pass()
        for start in range(0, SAMPLES, batch or SAMPLES):
            rows = slice(start, start + (batch or SAMPLES))
            self.scores(X[rows], Y[rows], None if weights is None else weights[rows], False)
        return self.loss.calculate_accumulated()


class Machine(RuleBasedStateMachine):

    @initialize(names=st.lists(st.sampled_from(sorted(LAYERS)), max_size=4), complete=st.booleans(),
                loss=st.sampled_from(LOSSES), optimizer=st.sampled_from(OPTIMIZERS))
    def begin(self, names, complete, loss, optimizer):
        self.former = kernels.get_num_threads()
        self.twin = nn.use("numba")
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "a.npz"
        self.model, self.reader, self.finalized, self.seed = nn.Model(), Reader(), False, 0
        for name in names:
            self.add(name)
        if complete:
            self.append({nn.CategoricalCrossentropy: "softmax", nn.BinaryCrossentropy: "sigmoid"}.get(loss, "dense"))
            self.set_loss(loss)
            self.set_optimizer(optimizer)
            self.finalize()

    def teardown(self):
        if hasattr(self, "folder"):
            kernels.set_num_threads(self.former)
            nn.use("numba")
            self.folder.cleanup()

    @property
    def ready(self):
        return self.finalized and self.reader.loss is not None and self.reader.optimizer is not None

    def each(self):
        return zip(self.model.layers, self.reader.layers)

    @rule(name=st.sampled_from(sorted(LAYERS)))
    def add(self, name):
        if len(self.reader.layers) <= 6:
            self.append(name)

    def append(self, name):
        self.seed += 1
        for layer in LAYERS[name](self.seed):
            self.model.add(layer)
        self.reader.layers += LAYERS[name](self.seed)
        self.finalized = False

    @rule(loss=st.sampled_from(LOSSES))
    def set_loss(self, loss):
        self.model.set(loss=loss())
        self.reader.loss = loss()
        self.finalized = False

    @rule(optimizer=st.sampled_from(OPTIMIZERS))
    def set_optimizer(self, optimizer):
        self.model.set(optimizer=optimizer(), accuracy=nn.Accuracy())
        self.reader.optimizer = optimizer()
        self.finalized = False

    @rule(norm=st.sampled_from((None, 0.01, 1.0)))
    def clip(self, norm):
        self.model.clip_norm = self.reader.clip_norm = norm

    @rule()
    def finalize(self):
        if self.reader.error():
            with pytest.raises(ValueError, match="no layers|takes (scores|probabilities)|would drop|does nothing"):
                self.model.finalize()
        else:
            self.model.finalize()
            self.finalized = True

    @rule(epochs=st.integers(1, 6), batch=st.sampled_from((None, 5, 7, 23, 100)), seed=st.sampled_from((None, 0, 1)),
          weighted=st.booleans(), validated=st.booleans(), fails=st.sampled_from((0, 0, 0, 1, 2)), wide=st.booleans())
    def train(self, epochs, batch, seed, weighted, validated, fails, wide):
        # without parameters a model has no dtype of its own to convert to
        x = X.astype(float) if wide and self.reader.parametrized else X
        weights = WEIGHTS if weighted else None
        arguments = {"epochs": epochs, "batch_size": batch, "shuffle": seed is not None, "seed": seed,
                     "sample_weight": weights, "validation_data": (X[:9], Y[:9]) if validated else None}

        def fail(epoch):
            if epoch == fails:
                raise KeyError("mine")

        if fails:
            arguments["callback"] = fail
        if not self.ready:
            with pytest.raises(RuntimeError, match="model has no (loss|optimizer)|not finalized"):
                self.model.train(X, Y, **arguments)
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            if 0 < fails <= epochs:
                with pytest.raises(KeyError, match="mine"):
                    self.model.train(x, Y, **arguments)
                epochs = fails
            else:
                self.model.train(x, Y, **arguments)
            self.reader.train(x, epochs, batch, seed, weights)

    @rule(weighted=st.booleans(), rows=st.sampled_from((5, 5, SAMPLES)), times=st.integers(1, 5))
    def train_step(self, weighted, rows, times):
        for start in range(times if self.ready else 0):
            batch = slice(start, start + rows)
            x, y, weights = X[batch], Y[batch], WEIGHTS[batch] if weighted else None
            self.model.train_step(x, y, weights)
            self.reader.step(x, y, weights)

    @rule(rows=st.sampled_from((5, 5, SAMPLES)), times=st.integers(1, 5), wanted=st.booleans(),
          between=st.sampled_from((None, None, "predict", "clip", "layer")))
    def step_from(self, rows, times, wanted, between):
        if not self.finalized or self.reader.optimizer is None:
            return
        for start in range(times):
            x = X[start:start + rows]
            y, wish = self.model.forward(x), self.reader.forward(x, True)
            assert y.tobytes() == wish.tobytes()
            if between == "predict":
                self.model.predict(X[:3])
            elif between == "clip":
                self.clip(0.1 if start % 2 else None)
            elif between == "layer":
                for layers in (self.model.layers, self.reader.layers):
                    layers[0].forward(x[::-1])
            dx = self.model.step_from(0.25 * y - 0.125, input_gradient=wanted)
            wish = self.reader.step_from(0.25 * wish - 0.125, self.reader.layers)
            assert dx.tobytes() == wish.tobytes() if wanted else dx is None
            assert rows < SAMPLES or wanted or nn.backend.name == "numpy" or not self.reader.trainable or [
                each.tobytes() for layer in self.model.trainable_layers for each in layer.gradients.values()] == [
                each.tobytes() for layer in self.reader.trainable for each in layer.gradients.values()]

    @rule(batch=st.sampled_from((None, 6)), weighted=st.booleans())
    def evaluate(self, batch, weighted):
        weights = WEIGHTS if weighted else None
        if self.finalized and self.reader.loss is not None:
            found, _ = self.model.evaluate(X, Y, batch_size=batch, sample_weight=weights)
            assert np.array_equal(found, self.reader.evaluate(batch, weights), equal_nan=True)
        else:
            with pytest.raises(RuntimeError, match="model has no loss|not finalized"):
                self.model.evaluate(X, Y, batch_size=batch, sample_weight=weights)

    @rule(rows=st.sampled_from((1, 5, 23)), batch=st.sampled_from((None, None, 3)))
    def predict(self, rows, batch):
        if self.finalized:
            assert self.model.predict(X[:rows], batch_size=batch).tobytes() == self.reader.forward(X[:rows]).tobytes()
        else:
            with pytest.raises(RuntimeError, match="not finalized"):
                self.model.predict(X[:rows])

    @precondition(lambda self: self.finalized)
    @rule()
    def save_and_load(self):
        self.model.save(self.path)
        self.model = nn.Model.load(self.path)

    @rule()
    def save_and_load_parameters(self):
        self.model.save_parameters(self.path)
        for layer, _ in self.each():
            for name, values in state_of(layer).items():
                setattr(layer, name, np.ones_like(values))
        self.model.load_parameters(self.path)

    @rule(factor=st.sampled_from((0.5, -1.0, 0.0)))
    def set_parameters(self, factor):
        self.model.set_parameters([(first * factor, *[each + 0.25 for each in others])
                                   for first, *others in self.model.get_parameters()])
        for layer in self.reader.layers:
            for number, (name, values) in enumerate(state_of(layer).items()):
                setattr(layer, name, values + np.float32(0.25) if number else values * np.float32(factor))

    @rule(place=st.integers(0, 6), in_place=st.booleans())
    def replace_weights(self, place, in_place):
        for layer in (layers[place] for layers in (self.model.layers, self.reader.layers) if place < len(layers)):
            name = next(iter(layer.parameters), None)
            if name is None:
                continue
            values = layer.parameters[name]
            if in_place:
                values[1:] *= 0.5
            else:
                setattr(layer, name, np.resize(X, values.shape) / 2)

    @rule(place=st.integers(0, 6))
    def freeze_or_thaw(self, place):
        if place < len(self.reader.layers):
            self.model.layers[place].trainable = place in self.reader.frozen
            self.reader.frozen ^= {place}

    @rule()
    def deepcopy(self):
        self.model = copy.deepcopy(self.model)

    @rule()
    def pickled(self):
        self.model = pickle.loads(pickle.dumps(self.model))

    @rule(twin=st.sampled_from(("numba", "numba", "numpy")))
    def use(self, twin):
        nn.use(twin)

    @rule(threads=st.sampled_from((1, 2)))
    def threads(self, threads):
        kernels.set_num_threads(min(threads, self.former))

    @rule(callback=st.sampled_from((3, "a", [None])))
    def wrong(self, callback):
        if self.ready:
            with pytest.raises(TypeError, match="callback must be"):
                self.model.train(X, Y, callback=callback)
            with pytest.raises(ValueError, match="X and y must have the same length|y must have"):
                self.model.train(X, Y[1:])
            # the NumPy twins check nothing: their errors are NumPy's
            if nn.backend.name == "numba" and any(isinstance(layer, nn.Dense) for layer in self.model.layers):
                with pytest.raises(ValueError, match="X must have shape|inputs|x must|to match x"):
                    self.model.predict(X[:, 1:] if isinstance(self.model.layers[0], nn.Dense) else X[0, 0])

    @invariant()
    def same_bits(self):
        if not hasattr(self, "model"):
            return
        assert len(self.model.layers) == len(self.reader.layers)
        for mine, its in self.each():
            assert type(mine) is type(its) and getattr(mine, "calls", 0) == getattr(its, "calls", 0)
            assert [*map(np.ndarray.tobytes, state_of(mine).values())] == [
                *map(np.ndarray.tobytes, state_of(its).values())]
        assert np.array_equal(self.model.history["loss"], self.reader.losses, equal_nan=True)
        if self.reader.optimizer is not None:
            for name in ("iterations", "current_learning_rate"):
                assert getattr(self.model.optimizer, name) == getattr(self.reader.optimizer, name)


CALM = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))


def test_any_sequence_of_calls():
    # without shrinking, which takes minutes
    run_state_machine_as_test(Machine, settings=settings(CALM, max_examples=100, stateful_step_count=25,
                                                         derandomize=True, phases=[Phase.generate]))


@pytest.mark.long
def test_many_sequences_of_calls():
    run_state_machine_as_test(Machine, settings=settings(CALM, max_examples=5000, stateful_step_count=50))
