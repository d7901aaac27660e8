"""The digests of all results of contract.py, the same on every machine: a change of bits is a decision."""

DIGESTS = {
    "adam": "c623337af2a3524fef96698e3bd1f5e6713e449defcc88ed06ac89c086fb82c2",
    "categorical_accuracy": "6c86c67c57f341ce562a872122ebbed0673e846a2fb2a31b82e18131be1d7035",
    "categorical_cross_entropy": "cda35fe93a4c8dd3dd6941de4acca0e732a7a475c61693f775086949cc08793d",
    "dense": "f7070e35262e2e5fd151836176f0a9e3623e382f72537a1c157ff7b3a181932d",
    "matmul": "3a4957144c19f76bcf9981ad56bb55af3a4403e1f53bcb3e40bc6d6ecc2e2649",
    "mean": "110083e79a36039556c4e6a853ade86ccbb37eb78156d98d06acb42138673bf8",
    "relu": "1b31a3959c5aeb533a92cc54da5f2b1485f34acddc3324ed34f2f4700f23007c",
    "sgd": "96a6c0e15ca701cb20e3168d52c4045d220f0c0a7b7856b6470b08a151350cff",
    "sigmoid": "e5cffeff3eee06cf013f19871fc461dc3af3b877f56808bfcef8a8a8edd6e52d",
    "softmax": "0f12b648d630567c3279350003dbd0de8de31b5170c9f4c21551c1ec5602a45f",
    "softmax_cross_entropy": "6433d01c22ab5583f2a3536e6578319809303347a12b8956ac8704e3f11ffd0a",
    "tanh": "0d88582eb8fb67a427684cfc22233764ae4266be98b7eae17adf14e9cbdb89a8",
    "training": "c7218ba2dcdfdfcad44a3f353729879b6fddce35ab629e7c763e75427e4066f2",
}
