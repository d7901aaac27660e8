"""Single steps, `train_step` and `step_from`, are recorded as trainings are, with the same bits as layer by layer."""

import copy
import threading

import numpy as np
import pytest

from nnjit import nn

rng = np.random.default_rng(0)
X = rng.standard_normal((60, 5)).astype(np.float32)
Y = rng.integers(0, 4, 60)


def network(optimizer=None, clip_norm=None, dropout=False, loss=True, dtype=np.float32, **penalties):
    random = np.random.default_rng(1)
    layers = [nn.Dense(5, 24, activation="tanh", rng=random, dtype=dtype, **penalties),
              *[nn.Dropout(0.25, seed=3)] * dropout, nn.Dense(24, 4, rng=random, dtype=dtype)]
    model = nn.Model(layers + [nn.Softmax()] * loss)
    model.set(optimizer=optimizer or nn.Adam(0.02, decay=1e-2), clip_norm=clip_norm,
              **{"loss": nn.CategoricalCrossentropy(), "accuracy": nn.Accuracy()} if loss else {})
    model.finalize()
    return model


def bits(model):
    return [values.tobytes() for layer in model.get_parameters() for values in layer]


OPTIONS = ({}, {"clip_norm": 0.1}, {"dropout": True, "weight_regularizer_l2": 1e-2, "bias_regularizer_l1": 1e-3},
           {"dtype": np.float64, "dropout": True, "clip_norm": 0.1})


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("optimizer", (None, lambda: nn.SGD(0.1, momentum=0.9, nesterov=True),
                                       lambda: nn.RMSprop(nn.schedules.Cosine(0.01, steps=9))))
def test_steps_of_one_batch_each(options, optimizer):
    recorded, plain = (network(optimizer and optimizer(), **options) for _ in range(2))
    weights = rng.random(60)
    for number, rows in enumerate((20, 20, 20, 7, 20, 7, 7, 7, 20, 60, 20, 60)):
        batch = slice(number, number + rows)
        given = X[batch], Y[batch], weights[batch] if number > 6 else None
        loss, penalty, accuracy = plain._steps.by_layers(*plain._samples("training", *given))
        assert recorded.train_step(*given) == (loss + penalty, accuracy)
        assert bits(recorded) == bits(plain)
        assert [layer.dinputs is None or layer.dinputs.tobytes() for layer in recorded.layers] == [
            layer.dinputs is None or layer.dinputs.tobytes() for layer in plain.layers]
    assert recorded.why_not_recorded is None and plain._steps.plans == {}
    assert len(recorded._steps.plans) > 1 and any(plan.proved for plan in recorded._steps.plans.values())


def test_steps_before_and_after_trainings():
    recorded, plain = network(), network()
    for _ in range(3):
        for model in (recorded, plain):
            model.train(X, Y, epochs=3, batch_size=20)
        for _ in range(3):
            recorded.train_step(X[:20], Y[:20])
            plain._steps.by_layers(*plain._samples("training", X[:20], Y[:20]))
    assert bits(recorded) == bits(plain) and recorded.history == plain.history


def test_changes_between_single_steps_are_seen():
    def frozen(model):
        model.layers[0].trainable = False

    def shared(model):
        model.layers[0].weights = model.layers[0].weights[::-1]

    changes = [lambda model: setattr(model, "clip_norm", 0.05), frozen, shared,
               lambda model: setattr(model.optimizer, "learning_rate", 0.5),
               lambda model: setattr(model.layers[0], "weight_regularizer_l2", 0.1),
               lambda model: setattr(model.loss, "class_weights", [1, 2, 3, 4])]
    recorded, plain, recorded_from, plain_from = (network(loss=loss) for loss in (True, True, False, False))
    for change in changes:
        for number in range(4):
            recorded.train_step(X, Y)
            plain._steps.by_layers(*plain._samples("training", X, Y))
            x = X[number:] / 2
            recorded_from.step_from(recorded_from.forward(x[:50]))
            by_hand(plain_from, x[:50], 0, False, 1)
        assert bits(recorded) == bits(plain) and bits(recorded_from) == bits(plain_from)
        for model in (recorded, plain, *[recorded_from, plain_from] * (change is not changes[-1])):
            change(model)
    assert recorded._steps.plans and recorded_from._steps.halves.proved


def test_a_single_step_keeps_no_batch_and_takes_its_own_parameters():
    model, plain = network(), network()
    for _ in range(5):
        mine = X.copy()
        model.train_step(mine, Y)
        assert not any(np.may_share_memory(arg, mine) for plan in model._steps.plans.values()
                       for _, args in plan._calls for arg in args if isinstance(arg, np.ndarray))
    model, plain = network(), network()
    for _ in range(6):  # samples that are parameters
        samples = [each.layers[0].weights.reshape(24, 5) for each in (plain, model)]
        loss, _, _ = plain._steps.by_layers(*plain._samples("training", samples[0].copy(), Y[:24]))
        assert model.train_step(samples[1], Y[:24])[0] == loss
    assert bits(model) == bits(plain)


def by_hand(model, X, target, wanted, samples=None):
    gradient = (model.forward(X) - target) / (samples or len(X))
    for layer in reversed(model.layers):
        gradient = layer.backward(gradient)
    if model.clip_norm is not None:
        nn.clip_gradients(model.trainable_layers, model.clip_norm)
    model.optimizer.pre_update_params()
    for layer in model.trainable_layers:
        model.optimizer.update_params(layer)
    model.optimizer.post_update_params()
    return gradient if wanted else None


@pytest.mark.parametrize("wanted", (False, True))
@pytest.mark.parametrize("options", OPTIONS)
def test_steps_from_a_gradient(options, wanted):
    recorded, plain = network(loss=False, **options), network(loss=False, **options)
    dtype, kept = options.get("dtype", np.float32), []
    for number in range(8):
        x, target = (rng.standard_normal(shape).astype(dtype) for shape in ((30, 5), (30, 4)))
        outputs = recorded.forward(x)
        kept.append((outputs, outputs.copy()))
        gradient = (outputs - target) / 30
        dx = recorded.step_from(np.asfortranarray(gradient) if number == 5 else gradient, input_gradient=wanted)
        wish = by_hand(plain, x, target, wanted)
        assert dx is None if wish is None else dx.tobytes() == wish.tobytes()
        if wanted:
            kept.append((dx, dx.copy()))
        assert np.array_equal(recorded.layers[0].inputs, x) and bits(recorded) == bits(plain)
        assert [layer.gradients["weights"].tobytes() for layer in recorded.trainable_layers] == [
            layer.gradients["weights"].tobytes() for layer in plain.trainable_layers]
    assert recorded.why_not_recorded is None and recorded._steps.shown is recorded._steps.halves
    assert all(np.array_equal(outputs, before) for outputs, before in kept)  # they are new arrays


def test_a_generator_learns_from_its_discriminator(monkeypatch):
    """Recorded or not, the same bits; and its outputs come to lie where those of the data do."""
    def trained(steps):
        random = np.random.default_rng(2)
        generator = nn.Model([nn.Dense(2, 16, activation="tanh", rng=random), nn.Dense(16, 2, rng=random)])
        generator.set(optimizer=nn.Adam(0.002))
        critic = nn.Model([nn.Dense(2, 32, activation="tanh", rng=random), nn.Dense(32, 1, rng=random), nn.Sigmoid()])
        critic.set(loss=nn.BinaryCrossentropy(), optimizer=nn.Adam(0.005), accuracy=nn.BinaryAccuracy())
        generator.finalize()
        critic.finalize()
        ones, zeros = np.ones((64, 1), np.float32), np.zeros((64, 1), np.float32)
        draw = np.random.default_rng(3)
        for _ in range(steps):
            real = (draw.standard_normal((64, 2)) * 0.1 + (2, -1)).astype(np.float32)
            noise = draw.standard_normal((64, 2)).astype(np.float32)
            made = generator.forward(noise)
            critic.train_step(real, ones)
            critic.train_step(made, zeros)
            critic.forward(made)
            generator.step_from(critic.backward(critic.forward(made), ones))
        return generator, critic, generator.predict(draw.standard_normal((500, 2)))

    generator, critic, made = trained(1500)
    assert generator.why_not_recorded is None and critic.why_not_recorded is None
    assert np.abs(made.mean(axis=0) - (2, -1)).max() < 0.5
    with monkeypatch.context() as patch:
        patch.setattr(nn.training.steps.Steps, "check", lambda self, *data: False)
        plain, other, _ = trained(20)
    generator, critic, _ = trained(20)
    assert bits(generator) == bits(plain) and bits(critic) == bits(other)


def test_steps_from_gradients_of_the_same_batch_stay_layer_by_layer():
    """It proves nothing: a number that is computed from the batch would be the same."""
    model, plain = network(loss=False), network(loss=False)
    target = rng.standard_normal((60, 4)).astype(np.float32)
    for _ in range(6):
        model.step_from((model.forward(X) - target) / 60)
        by_hand(plain, X, target, False)
    assert bits(model) == bits(plain) and not model._steps.halves.proved


def test_what_stands_between_forward_and_step():
    """Other calls of the layers, frozen layers and new parameters count as they do layer by layer."""
    def evaluate(model):
        model.layers[0].forward(X[:30] / 2)

    def freeze(model):
        model.layers[0].trainable = not model.layers[0].trainable

    def replace(model):
        model.layers[1].weights = model.layers[1].weights * 0.5

    recorded, plain = network(loss=False), network(loss=False)
    for number in range(24):
        x, target = (rng.standard_normal(shape).astype(np.float32) for shape in ((30, 5), (30, 4)))
        between = (lambda model: None, evaluate, freeze, replace)[number // 6]
        gradient = (recorded.forward(x) - target) / 30
        between(recorded)
        recorded.step_from(gradient)
        wish = (plain.forward(x) - target) / 30
        between(plain)
        plain._steps.from_gradients = False
        for layer in reversed(plain.layers):
            wish = layer.backward(wish)
        plain._step.update(plain._trained(), None)
        assert bits(recorded) == bits(plain), number


FIRST = {"dropout": lambda: nn.Dropout(0.25, seed=1), "reshape": lambda: nn.Reshape((1, 5))}


@pytest.mark.parametrize("name", FIRST)
def test_a_layer_called_between_forward_and_step(name):
    """Its attributes are then not those of the step, and the recording must not rely on them."""
    models = []
    for _ in range(2):
        models.append(nn.Model([FIRST[name](), nn.Flatten(), nn.Dense(5, 5, rng=0)]))
        models[-1].set(optimizer=nn.SGD(0.1))
        models[-1].finalize()
    recorded, plain = models
    for number in range(12):
        x, called = np.roll(X, number, axis=0)[:17 if number == 6 else 30], number < 5
        gradient = recorded.forward(x) / 8
        if called:
            recorded.layers[0].forward(X[30:])
        recorded.step_from(gradient, input_gradient=number == 7)
        gradient = plain.forward(x) / 8
        if called:
            plain.layers[0].forward(X[30:])
        plain.layers[-1].backward(gradient)
        plain._step.update(plain._trained(), None)
        assert bits(recorded) == bits(plain)
        if called and number:
            assert "between forward and step_from" in recorded.why_not_recorded
    assert recorded.why_not_recorded is None


def test_steps_from_gradients_of_changing_sizes_and_of_arrays_of_the_model():
    recorded, plain = network(loss=False), network(loss=False)
    for number in range(24):
        rows = 30 if number % 6 else 17
        x = rng.standard_normal((rows, 5)).astype(np.float32)
        outputs, wish = recorded.forward(x), plain.forward(x)
        assert outputs.tobytes() == wish.tobytes()
        recorded.step_from(recorded.layers[-1].output if number % 2 else outputs)  # an array of the model's, or a copy
        for layer in reversed(plain.layers):
            wish = layer.backward(wish)
        plain._step.update(plain._trained(), None)
        plain._steps.from_gradients = False
        assert bits(recorded) == bits(plain), number
    assert recorded.why_not_recorded is None and recorded._steps.halves.kind == (30, 5)
    assert recorded._steps.halves.proved


def test_steps_from_what_a_step_writes():
    """Inputs, outputs and gradients of one shape: each of them as the next inputs or gradient."""
    def square():
        model = nn.Model([nn.Dense(4, 4, activation="tanh", rng=0), nn.Dense(4, 4, rng=1)])
        model.set(optimizer=nn.SGD(0.1))
        model.finalize()
        return model

    recorded, plain = square(), square()
    for number in range(16):
        x = rng.standard_normal((20, 4)).astype(np.float32)
        for model in (recorded, plain):
            model._steps.from_gradients = number > 0 and model is recorded
            first, last = model.layers[0], model.layers[1]
            if number > 9:
                x = (first.output, last.dinputs, first.dinputs)[number % 3] if number < 13 else x
            outputs = model.forward(x)
            gradient = outputs if number < 8 else (last.dinputs, last.output, first.output)[number % 3]
            if model is recorded:
                dx = model.step_from(gradient, input_gradient=number % 4 != 3)
            else:
                for layer in reversed(model.layers):
                    gradient = layer.backward(gradient)
                model._step.update(model._trained(), None)
        assert bits(recorded) == bits(plain), number
        assert dx is None if number % 4 == 3 else dx.tobytes() == plain.layers[0].dinputs.tobytes()
    assert recorded._steps.halves.proved


GIVEN = {"the outputs": lambda outputs, model: outputs, "a view of them": lambda outputs, model: outputs[:],
         "the layer's outputs": lambda outputs, model: model.layers[-1].output,
         "other order": lambda outputs, model: np.asfortranarray(outputs) if outputs[0, 0] > 0 else outputs + 0,
         "parts": lambda outputs, model: np.repeat(outputs, 2, axis=1)[:, ::2],
         "the gradient of before": lambda outputs, model: model.layers[-1].dinputs[:, :4] if hasattr(
             model, "made") else outputs - 1}


@pytest.mark.parametrize("given", GIVEN)
def test_gradients_in_the_memory_of_the_model_or_in_another_order(given):
    recorded, plain = network(loss=False), network(loss=False)
    plain.forward = plain.forward  # which is not recorded
    for number in range(8):
        found = []
        for model in (recorded, plain):
            x = (X + np.float32(number))[:5] if number % 2 else model.layers[0].weights[:, :5].copy()
            gradient = GIVEN[given](model.forward(x), model)
            found.append(gradient.copy())
            found.append(model.step_from(gradient, input_gradient=True))
            model.made = True
        assert np.array_equal(found[0], found[2]) and np.array_equal(found[1], found[3])
        assert bits(recorded) == bits(plain)
    assert recorded.why_not_recorded is None and recorded._steps.halves.proved


def test_inputs_that_are_weights():
    def built():
        model = nn.Model([nn.Dense(5, 5, rng=0), nn.Dense(5, 4, rng=1)])
        model.set(optimizer=nn.SGD(0.1))
        model.finalize()
        return model

    recorded, plain = built(), built()
    plain.forward = plain.forward
    for number in range(8):
        for model in (recorded, plain):
            outputs = model.forward(model.layers[0].weights if number < 4 else X[number:number + 5])
            model.step_from(outputs - 1)
        assert bits(recorded) == bits(plain)


def test_an_update_of_a_single_layer_between_forward_and_step():
    """Its gradients are then those of that update; the step has its own."""
    recorded, plain = network(loss=False), network(loss=False)
    plain.forward = plain.forward  # which is not recorded
    for number in range(8):
        for model in (recorded, plain):
            outputs = model.forward(X + np.float32(number))
            if number > 3:
                model.layers[1].backward(np.ones_like(outputs))
                model.optimizer.update_params(model.layers[1])  # it has then had more updates than the other
            model.step_from(outputs)
        assert bits(recorded) == bits(plain)
        assert [layer.dweights.tobytes() for layer in recorded.layers] == [
            layer.dweights.tobytes() for layer in plain.layers]
        assert recorded.layers[1].dinputs.tobytes() == plain.layers[1].dinputs.tobytes()
    assert recorded._steps.halves.proved and plain._steps.halves is None


def test_a_last_layer_of_ones_own_need_not_keep_its_outputs():
    class Doubled:
        def forward(self, x, training=True):
            return 2 * x

        def backward(self, dy):
            return 2 * dy

    def built(*last):
        model = nn.Model([nn.Dense(5, 4, rng=0), *last])
        model.set(optimizer=nn.Adam())
        model.finalize()
        return model

    own, plain = built(Doubled()), built()
    with pytest.raises(RuntimeError, match="call forward before step_from"):
        own.step_from(np.ones((60, 4)))
    for _ in range(3):
        gradient = own.forward(X)
        with pytest.raises(ValueError, match=r"the shape of the outputs, \(60, 4\), got \(60,\)"):
            own.step_from(gradient[:, 0])
        own.step_from(gradient)
        plain.step_from(2 * (2 * plain.forward(X)))
    assert bits(own) == bits(plain)


def test_errors_of_a_step_from_a_gradient():
    model = network(loss=False)
    with pytest.raises(RuntimeError, match="call forward before step_from"):
        model.step_from(np.zeros((60, 4), np.float32))
    model.forward(X)
    before = bits(model)
    for gradient in (np.zeros((59, 4)), np.zeros((60, 3)), np.zeros(60), 0.0):
        with pytest.raises(ValueError, match=r"gradient must have the shape of the outputs, \(60, 4\), got"):
            model.step_from(gradient)
    for gradient in ("a", None, {1: 2}, X.astype(complex)):
        with pytest.raises(TypeError, match="gradient"):
            model.step_from(gradient)
    with pytest.raises(TypeError, match="input_gradient"):
        model.step_from(np.zeros((60, 4)), input_gradient=1)
    assert bits(model) == before
    with pytest.raises(RuntimeError, match="has no optimizer"):
        nn.Model([nn.Dense(5, 4)]).step_from(np.zeros((60, 4)))
    model.add(nn.Tanh())
    with pytest.raises(RuntimeError, match="not finalized"):
        model.step_from(np.zeros((60, 4)))


def test_copies_and_pickles_between_forward_and_step():
    model = network(loss=False)
    for _ in range(4):
        x, gradient = (rng.standard_normal(shape).astype(np.float32) for shape in ((30, 5), (30, 4)))
        model.forward(x)
        model.step_from(gradient)
    model.forward(x)
    other = copy.deepcopy(model)
    model.step_from(gradient)
    with pytest.raises(RuntimeError, match="call forward before step_from"):
        other.step_from(gradient)
    other.forward(x)
    other.step_from(gradient)
    assert bits(other) == bits(model)


def test_a_step_from_a_gradient_during_a_training_of_another_thread():
    model, found = network(), []
    model.forward(X)

    def other():
        try:
            model.step_from(np.zeros((60, 4), np.float32))
        except RuntimeError as error:
            found.append(str(error))

    def callback(epoch):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(60)

    model.train(X, Y, callback=callback)
    assert len(found) == 1 and "another thread is training" in found[0]
