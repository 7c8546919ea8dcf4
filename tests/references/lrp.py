"""Relevance of dense ReLU networks by its definition: example by example, unit by unit. Exists only to be right."""

import numpy as np


def relevance(
    layers: list[tuple[np.ndarray, np.ndarray]], x: np.ndarray, target: int, epsilon: float, gamma: float
) -> list[np.ndarray]:
    """Relevance of the inputs of each dense layer for one logit; a ReLU stands between layers, none after the last.

    Epsilon rule (Bach et al. 2015) of contributions z_ij = x_i w_ij: R_i = sum_j z_ij / (z_j + epsilon sign z_j) R_j.
    With gamma, contributions that agree with the sign of z_j count 1 + gamma times (Andeol et al. 2021).
    """
    inputs = [x]
    for number, (weight, bias) in enumerate(layers):
        sums = weight @ inputs[-1] + bias
        inputs.append(sums if number == len(layers) - 1 else np.maximum(sums, 0))
    found = [np.where(np.arange(len(inputs[-1])) == target, inputs[-1], 0.0)]
    for number in reversed(range(len(layers))):
        weight, bias = layers[number]
        below = np.zeros(weight.shape[1])
        for j in range(weight.shape[0]):
            z = sum(inputs[number][i] * weight[j, i] for i in range(weight.shape[1])) + bias[j]
            shares = [_raised(inputs[number][i] * weight[j, i], z, gamma) for i in range(weight.shape[1])]
            total = sum(shares) + _raised(bias[j], z, gamma)
            stable = total + (epsilon if total >= 0 else -epsilon)
            for i in range(weight.shape[1]):
                if stable:
                    below[i] += shares[i] / stable * found[0][j]
        found.insert(0, below)
    return found


def _raised(share: float, z: float, gamma: float) -> float:
    return share * (1 + gamma) if (share > 0) == (z > 0) else share
