"""Cells with a real, small PyTorch training, for the tests of the ring."""

from __future__ import annotations

SETUP = """
%load_ext nbmonitor
import nbmonitor, torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
torch.set_num_threads(1)
torch.manual_seed(0)
data = TensorDataset(torch.rand(640, 1, 32, 32), torch.randint(0, 10, (640,)))
loader = DataLoader(data, batch_size=32, shuffle=True)
model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 10))
opt = torch.optim.SGD(model.parameters(), lr=0.1)
run = nbmonitor.init("digits-cnn", class_names=["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
run.control(optimizer=opt, model=model, loader=loader)
"""

PANEL = "%nbmonitor"

TRAIN = """
for epoch in run.epochs(EPOCHS):
    for x, y in run.track(loader):
        opt.zero_grad()
        logits = model(x)
        loss = F.cross_entropy(logits, y)
        loss.backward()
        opt.step()
        run.log(loss=loss)
        run.log_batch(x, logits=logits, targets=y)
    run.log_epoch(average_loss=loss.item(), val_loss=loss.item() * 1.1)
print("trainer says", run.state, len(run.history("loss")[0]))
"""


def train(epochs: int = 10_000) -> str:
    return f"EPOCHS = {epochs}" + TRAIN
