"""Transposed convolutions of a GAN's generator."""

from nnjit.bench.bench_conv2d import both, convolution_in_jax, with_activations
from nnjit.bench.cases import suite
from nnjit.kernels.reference.conv2d import _pair
from nnjit.kernels.reference.conv_transpose2d import _output_shape

CASES = [
    *both("conv_transpose2d", (64, 128, 7, 7), 64, 4, 2, 1),
    *both("conv_transpose2d", (64, 64, 14, 14), 1, 4, 2, 1),
]

test_conv_transpose2d = suite(CASES)


def in_torch(torch):
    def backward(dy, x, w, *, stride=1, padding=0, output_padding=0, dilation=1, groups=1):
        return torch.ops.aten.convolution_backward(
            dy, x, w, [dy.shape[1]], _pair(stride), _pair(padding), _pair(dilation), True, _pair(output_padding),
            groups, [True] * 3)

    return with_activations(torch, torch.nn.functional.conv_transpose2d, backward)


def in_jax(jax):
    convolution = convolution_in_jax(jax)

    def forward(x, w, b, **options):
        image = jax.numpy.zeros(_output_shape(x.shape, w.shape, **options), x.dtype)
        options.pop("output_padding", None)
        return jax.vjp(lambda image: convolution(image, w, **options), image)[1](x)[0] + b[:, None, None]

    def backward(dy, x, w, *, output_padding=0, **options):
        run = lambda dy, w: convolution(dy, w, **options)[:, :, :x.shape[2], :x.shape[3]]  # noqa: E731
        return run(dy, w), jax.vjp(run, dy, w)[1](x)[1], dy.sum((0, 2, 3))

    return with_activations(jax, forward, backward)
