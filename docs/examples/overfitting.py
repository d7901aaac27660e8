"""Overfitting: a network learns 300 images by heart, and what helps: dropout, augmentation, early stopping."""

import sys

import matplotlib.pyplot as plt

from nnjit import nn

(X, y), (X_test, y_test) = nn.datasets.fashion_mnist(images=True)
X, y, X_test, y_test = X[:300], y[:300], X_test[:500], y_test[:500]
EPOCHS = 60


def network(dropout=0.0):
    model = nn.Model([nn.Conv2d(1, 16, 3, padding=1, activation="relu", initializer="he_normal", rng=0),
                      nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(dropout, seed=1),
                      nn.Dense(3136, 64, activation="relu", initializer="he_normal", rng=2),
                      nn.Dropout(dropout, seed=3), nn.Dense(64, 10, rng=4), nn.Softmax()])
    model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(), accuracy=nn.Accuracy())
    model.finalize(input_shape=(1, 28, 28))
    return model


stopped = network()
stop = nn.callbacks.EarlyStopping(stopped, patience=5)
augment = nn.data.Augment(nn.data.RandomHorizontalFlip(), seed=5)
figure, panels = plt.subplots(1, 4, figsize=(10, 2.8), layout="constrained", sharey=True)
for axes, (title, model, options) in zip(panels, (
        ("as it is", network(), {}), ("dropout", network(0.4), {}), ("augmentation", network(), {"augment": augment}),
        ("early stopping", stopped, {"callback": stop}))):
    history = model.train(X, y, epochs=EPOCHS, batch_size=30, validation_data=(X_test, y_test), **options)
    loss, accuracy = model.evaluate(X_test, y_test)
    print(f"{title:15} training loss {history['loss'][-1]:.3f}, validation loss {loss:.3f}, accuracy {accuracy:.3f}")
    axes.plot(history["loss"], label="training")
    axes.plot(history["val_loss"], label="validation")
    axes.set(title=title, xlabel="epoch", ylim=(0, 2))
panels[0].legend()
if len(sys.argv) > 1:
    figure.savefig(sys.argv[1], dpi=80)
