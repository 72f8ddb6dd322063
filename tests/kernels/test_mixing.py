import numpy as np

from rs_monitor.kernels.mixing import mix64


def test_the_generator_of_the_paper():
    # SplitMix64 of seed 0: Vigna's splitmix64.c gives these first three numbers
    golden = 0x9E3779B97F4A7C15
    states = np.array([golden * k % 2**64 for k in (1, 2, 3)], "uint64")
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert mix64(states).tolist() == expected
    assert [int(mix64(state)) for state in states] == expected
