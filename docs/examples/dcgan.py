"""A DCGAN on Fashion-MNIST: a generator makes images of random numbers, a discriminator tells them from real ones.

With a path, it draws its images there after each epoch. --epochs N and --images N for more; --save FILE.npz keeps the
generator.
"""

import argparse

import numpy as np

from nnjit import nn

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("image", nargs="?", help="where to write the image")
parser.add_argument("--epochs", type=int, default=1)
parser.add_argument("--images", type=int, default=1280)
parser.add_argument("--filters", type=int, default=8)
parser.add_argument("--save", help="where to save the generator")
options = parser.parse_args()

(X, _), _ = nn.datasets.fashion_mnist(images=True)  # (60000, 1, 28, 28), -1..1, as the generator's tanh
X, rng = X[:options.images], np.random.default_rng(0)
generator = nn.models.dcgan_generator(64, channels=1, size=28, filters=options.filters, rng=1)
discriminator = nn.models.dcgan_discriminator(channels=1, size=28, filters=options.filters, rng=2)
generator.set(optimizer=nn.Adam(2e-4, beta_1=0.5))
generator.finalize()
discriminator.set(loss=nn.BinaryCrossentropy(), optimizer=nn.Adam(2e-4, beta_1=0.5))
discriminator.finalize()

batch = 64
real, made = np.ones((batch, 1), np.float32), np.zeros((batch, 1), np.float32)
seen = rng.standard_normal((64, 64)).astype(np.float32)  # whose images are drawn
for epoch in range(1, options.epochs + 1):
    order, losses = rng.permutation(len(X)), []
    for start in range(0, len(X) - batch + 1, batch):
        z = rng.standard_normal((batch, 64)).astype(np.float32)
        fakes = generator.forward(z)
        loss_real, _ = discriminator.train_step(X[order[start:start + batch]], real)
        loss_made, _ = discriminator.train_step(fakes, made)
        # the generator learns what the discriminator would take for real
        guess = discriminator.forward(fakes)
        discriminator.trainable = False  # it needs no gradients of its own, which take as long as those of the images
        generator.step_from(discriminator.backward(guess, real))
        discriminator.trainable = True
        losses.append((loss_real, loss_made))
    print("epoch %d: loss of the discriminator %.3f on real, %.3f on made images" % (epoch, *np.mean(losses, axis=0)))
    if options.image:
        nn.inspect.save_grid(options.image, generator.predict(seen))
    if options.save:
        generator.save(options.save)
