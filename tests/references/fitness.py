"""Fitness of neurons by its definitions: one example, one neuron, one position at a time."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F


def of_layer(encoder, head, inputs, labels, bins=20):
    """Measures of each channel of `encoder`, whose output is [example, channel, position...], in float64."""
    values, slopes, right = [], [], []
    for x, label in zip(inputs, labels, strict=True):
        y = encoder(x[None]).detach().requires_grad_()
        logits = head(y)
        loss = F.cross_entropy(logits, label[None])
        right.append(int(logits.argmax()) == int(label))
        values.append(y.detach()[0].flatten(1).tolist())
        slopes.append(torch.autograd.grad(loss, y)[0][0].flatten(1).tolist())
    found = []
    for unit in range(len(values[0])):
        all_values = [value for example in values for value in example[unit]]
        n, mean = len(all_values), math.fsum(all_values) / len(all_values)
        counts = [0] * bins
        low, high = min(all_values), max(all_values)
        for value in all_values:
            place = 0 if high == low else int((value - low) / (high - low) * bins)
            counts[min(place, bins - 1)] += 1
        effects = [
            abs(math.fsum(value * slope for value, slope in zip(row[unit], slope_row[unit], strict=True)))
            for row, slope_row in zip(values, slopes, strict=True)
        ]
        sides = [
            [value for row, one in zip(values, right, strict=True) if one is side for value in row[unit]]
            for side in (True, False)
        ]
        found.append(
            {
                "gradient": math.fsum(abs(slope) for example in slopes for slope in example[unit]) / n,
                "taylor": math.fsum(effects) / len(effects),
                "correlation": math.fsum(sides[0]) / len(sides[0]) - math.fsum(sides[1]) / len(sides[1]),
                "activation": math.fsum(map(abs, all_values)) / n,
                "variance": math.fsum((value - mean) ** 2 for value in all_values) / n,
                "entropy": -math.fsum(count / n * math.log(count / n) for count in counts if count),
                "on": sum(any(value > 0 for value in example[unit]) for example in values) / len(values),
            }
        )
    return found
