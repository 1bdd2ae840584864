"""What is logged, and the training around it: the same for every subject."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    import numpy as np

THREE = ("loss", "accuracy", "lr")
TWENTY = tuple(f"layer{i:02d}/gradient_norm" for i in range(20))
PICTURES = 16
BATCHES = 4
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


@dataclass
class Batch:
    """16 pictures in every form that a subject may take: (N, 3, H, W) float32 in [0, 1] and (N, H, W, 3) uint8."""

    tensor: torch.Tensor
    logits: torch.Tensor
    targets: torch.Tensor
    array: np.ndarray = field(init=False)
    predicted: list[int] = field(init=False)
    true: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.array = (self.tensor * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
        self.predicted = self.logits.argmax(1).tolist()
        self.true = self.targets.tolist()


def floats(step: int, names: tuple[str, ...]) -> dict[str, Any]:
    """Fresh numbers for one call."""
    return {name: 1.0 / (step + 1 + i) for i, name in enumerate(names)}


def tensors(step: int, names: tuple[str, ...]) -> dict[str, Any]:
    """Fresh 0-d tensors, of which the first hangs on a graph, as a loss does."""
    out: dict[str, Any] = {name: torch.tensor(1.0 / (step + 1 + i)) for i, name in enumerate(names)}
    weight = torch.tensor(2.0, requires_grad=True)
    out[names[0]] = out[names[0]] * weight
    return out


@cache
def batches(side: int) -> list[Batch]:
    """Smooth fields with a little noise, which encoders find neither trivial nor impossible."""
    torch.manual_seed(side)
    out = []
    for _ in range(BATCHES):
        coarse = torch.rand(PICTURES, 3, 6, 6)
        smooth = functional.interpolate(coarse, (side, side), mode="bicubic")
        picture = (smooth + 0.02 * torch.randn_like(smooth)).clamp(0, 1)
        labels = torch.randint(0, len(CLASSES), (PICTURES,))
        out.append(Batch(picture, torch.randn(PICTURES, len(CLASSES)), labels))
    return out


def threads() -> int:
    """Half of the cores: with all of them every other process makes a step wait, and no small difference is seen."""
    return max(1, (os.cpu_count() or 1) // 2)


class Training:
    """A small CNN on pictures of CIFAR's size; a step evicts what the caches held."""

    def __init__(self, batch: int) -> None:
        torch.set_num_threads(threads())
        torch.manual_seed(0)
        self.model = nn.Sequential(
            *(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1)),
            *(nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(512, len(CLASSES))),
        )
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01)
        self.x = torch.rand(batch, 3, 32, 32)
        self.y = torch.randint(0, len(CLASSES), (batch,))

    def step(self) -> torch.Tensor:
        """One step; returns its loss."""
        self.optimizer.zero_grad()
        loss = functional.cross_entropy(self.model(self.x), self.y)
        loss.backward()
        self.optimizer.step()
        return loss
