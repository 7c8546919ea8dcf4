"""TransFG by its equations (He et al. 2022, sections 3.2 and 3.3), one example and one head at a time.

Exists only to be obviously right.
"""

import math

import torch


def selected(maps: list[torch.Tensor]) -> list[list[int]]:
    """For each example and head, the token in whose column the first row of the product of all maps is largest.

    `maps` are those of all layers but the last, first layer first, each `[example, head, token, token]`.
    """
    examples, heads, tokens, _ = maps[0].shape
    found = []
    for example in range(examples):
        found.append([])
        for head in range(heads):
            product = torch.eye(tokens, dtype=torch.float64)
            for attention in maps:  # a layer's map acts on what the layers before it have mixed
                product = attention[example, head].double() @ product
            best, place = -1.0, 0
            for token in range(1, tokens):
                if float(product[0, token]) > best:
                    best, place = float(product[0, token]), token
            found[-1].append(place)
    return found


def contrastive(states: torch.Tensor, labels: list[int], margin: float) -> float:
    """Sum over all ordered pairs, divided by the square of their number of examples."""
    total, examples = 0.0, len(labels)
    for i in range(examples):
        for j in range(examples):
            dot = sum(float(a) * float(b) for a, b in zip(states[i], states[j], strict=True))
            cosine = dot / (_norm(states[i]) * _norm(states[j]))
            total += 1 - cosine if labels[i] == labels[j] else max(cosine - margin, 0)
    return total / examples**2


def patches(image: torch.Tensor, patch: int, stride: int) -> list[torch.Tensor]:
    """The patches of an image, row by row, each beginning `stride` pixels after the one before."""
    _, height, width = image.shape
    return [
        image[:, row : row + patch, column : column + patch]
        for row in range(0, height - patch + 1, stride)
        for column in range(0, width - patch + 1, stride)
    ]


def _norm(vector: torch.Tensor) -> float:
    return math.sqrt(sum(float(value) ** 2 for value in vector))
