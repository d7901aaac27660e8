"""What contract.py computes, as digests, the same on every machine: a change of bits is a decision."""

DIGESTS = {
    "adam": "64d4d3c67dd57c85d5246a4c53e635e39c0d4c65531ceaf820a1d2659ae0f462",
    "categorical_accuracy": "6c86c67c57f341ce562a872122ebbed0673e846a2fb2a31b82e18131be1d7035",
    "categorical_cross_entropy": "cda35fe93a4c8dd3dd6941de4acca0e732a7a475c61693f775086949cc08793d",
    "dense": "4bd25d62e530dcd6726c3868543d8a022039bb6af1617c989fb65956ce0bf31f",
    "matmul": "a6acab238264b796e40e0debf369faca945f107c6ace14db26f875b94611f6fc",
    "mean": "110083e79a36039556c4e6a853ade86ccbb37eb78156d98d06acb42138673bf8",
    "relu": "1b31a3959c5aeb533a92cc54da5f2b1485f34acddc3324ed34f2f4700f23007c",
    "sgd": "70955750a429a60af1132b0e3cf9f015a324e48806ced2a58bc67c1660404a17",
    "sigmoid": "661e87f4d0ef67991904f3004780c2779fede473437e3aace8eec38b91e3fbef",
    "softmax": "7bcf96e9e12a80057b1fe5da01d1e883891bf4ced7d64a6a6d4db130e952ef6d",
    "softmax_cross_entropy": "c8d98addee5bbf990209faecd39a0ae06b2d0108cee163470dd86d84c208f7ba",
    "tanh": "9c6da5cce6cf913f38b20808d64c07fdcdea5be40cab84b9dfe2372dfdbfaef5",
    "training": "210ad70b4ae40acb11172344a700b39bc34f8eb105b37dfdcf78057230b95354",
}
