"""What contract.py computes, as digests, the same on every machine: a change of bits is a decision."""

DIGESTS = {
    "adam": "c623337af2a3524fef96698e3bd1f5e6713e449defcc88ed06ac89c086fb82c2",
    "categorical_accuracy": "6c86c67c57f341ce562a872122ebbed0673e846a2fb2a31b82e18131be1d7035",
    "categorical_cross_entropy": "cda35fe93a4c8dd3dd6941de4acca0e732a7a475c61693f775086949cc08793d",
    "dense": "2f25219f2eb6885a62682e544ef5c7ad7a0709af28579f57368a3632dcfe823c",
    "matmul": "a6acab238264b796e40e0debf369faca945f107c6ace14db26f875b94611f6fc",
    "mean": "110083e79a36039556c4e6a853ade86ccbb37eb78156d98d06acb42138673bf8",
    "relu": "1b31a3959c5aeb533a92cc54da5f2b1485f34acddc3324ed34f2f4700f23007c",
    "sgd": "96a6c0e15ca701cb20e3168d52c4045d220f0c0a7b7856b6470b08a151350cff",
    "sigmoid": "0e3a4ca1f2e43d2cc5632dfec853a6fa46a270a5c9fc95e190101133ab610780",
    "softmax": "bf4025633f963db7904fcd44c095f103b11f27b97c4f05cb441b016dc91fa444",
    "softmax_cross_entropy": "5e40eca69882e1e6c3083102ac71375e9675fdfccf5801ce149e69cea4260f9e",
    "tanh": "9c6da5cce6cf913f38b20808d64c07fdcdea5be40cab84b9dfe2372dfdbfaef5",
    "training": "974799589f1b93bedb3356014b9ab3cf16a9915766782045e734b7641f605323",
}
