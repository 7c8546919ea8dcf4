"""Compiled networks run on Ray with the figures of one process."""

import numpy as np
import pytest
import torch
from torch import nn

import ndg

INPUTS = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))


def networks():
    """A network compiled as a function and one compiled in place, after a first call, and the path of a layer."""
    plain = [nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).eval() for _ in range(2)]
    plain[1].compile(backend="eager")
    compiled = [(torch.compile(plain[0], backend="eager"), "_orig_mod.1"), (plain[1], "1")]
    for network, _ in compiled:
        network(INPUTS)
    return compiled


@pytest.mark.ray
def test_a_compiled_network_scores_alike_on_ray(ray_session):
    for network, layer in networks():
        one, two = (
            ndg.score(network, [INPUTS], layer, "ablation", options=ndg.RunOptions(executor=executor, batch=16))
            for executor in ("serial", "ray")
        )
        assert np.array_equal(one[layer], two[layer])
        assert one[layer].any()
