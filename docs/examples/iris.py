"""Iris flowers (Fisher 1936): a CSV file with text labels, 4-16-3. With a path as argument, an image."""

import csv
import sys
from pathlib import Path

import numpy as np

from nnjit import nn

with open(Path(__file__).with_name("iris.csv"), newline="") as file:
    names, *rows = csv.reader(file)
X = np.array([row[:4] for row in rows], dtype=np.float32)
species = np.array([row[4] for row in rows])

encoder = nn.preparation.LabelEncoder()
y = encoder.fit_transform(species)
X, X_test, y, y_test = nn.preparation.train_test_split(X, y, test=0.3, seed=0)
scaler = nn.preparation.StandardScaler().fit(X)

model = nn.Model()
model.add(nn.Dense(4, 16, activation="relu", rng=0))
model.add(nn.Dense(16, 3, rng=1))
model.add(nn.Softmax())
model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.01), accuracy=nn.Accuracy())
model.finalize()
model.train(scaler.transform(X), y, epochs=50, batch_size=16)

print("training: loss %.3f, accuracy %.3f" % model.evaluate(scaler.transform(X), y))
print("test:     loss %.3f, accuracy %.3f" % model.evaluate(scaler.transform(X_test), y_test))
p = model.predict(scaler.transform(X_test))
found = encoder.inverse_transform(nn.preparation.from_one_hot(p))
for flower, kind, share in zip(X_test[:3], found, p.max(axis=1)):
    print(*flower, f"{kind} {share:.0%}")
print(nn.scores.confusion_matrix(p, y_test))

if len(sys.argv) > 1:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5.5, 4), layout="constrained")
    wrong = found != encoder.inverse_transform(y_test)
    for kind in encoder.classes:
        axes.scatter(*X_test[found == kind, 2:].T, s=24, label=kind)
    axes.scatter(*X_test[wrong, 2:].T, s=110, facecolors="none", edgecolors="black", label="mistake")
    axes.set(xlabel=names[2], ylabel=names[3], title="predicted species of the test set")
    axes.legend(frameon=False)
    figure.savefig(sys.argv[1], dpi=80)
