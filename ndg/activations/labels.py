"""True labels as classes."""

from __future__ import annotations

import torch
from torch import Tensor

from ndg.errors import DataError


def true_labels(labels: Tensor, count: int, classes: int) -> Tensor:
    """True classes of `count` examples on the CPU, or DataError."""
    whole = not (labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool)
    true = labels.cpu().long()  # of any width: losses take no other, and the widest unsigned ones have no minimum
    if not whole or true.shape != (count,) or true.min() < 0 or true.max() >= classes:
        came = f"{labels.dtype} of shape {tuple(true.shape)}"
        ends = f" with values {true.min().item()} to {true.max().item()}" if true.numel() and whole else ""
        raise DataError(
            f"true labels are one class from 0 to {classes - 1} per example; got {came}{ends}; "
            + _advice(labels)
            + (
                "; labels that count from 1 need labels - 1"
                if ends and true.min() > 0 and true.max() == classes
                else ""
            )
            + ("; a network of one logit is wrapped so that it gives two, 0 and the logit" if classes == 1 else "")
        )
    return true


def _advice(labels: Tensor) -> str:
    """How to make classes of labels of another shape or type."""
    if labels.ndim == 2:
        return "give labels[:, 0]" if labels.shape[1] == 1 else "give labels.argmax(1) of one column per class"
    if labels.is_floating_point() or labels.dtype == torch.bool:
        return "give whole numbers, labels.long() where they are classes"
    if labels.numel() and labels.ndim == 1 and not labels.is_complex() and labels.long().min() < 0:
        return "leave out examples without a label, and number the classes from 0"
    return "check the data's classes against the network's"
