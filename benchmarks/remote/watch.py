"""Viewers in a process of their own: python watch.py ADDRESS TOKEN_FILE VIEWERS SECONDS.

Each watches another run in turn, as a dashboard does, and wants values as they come; says "there" when all are
attached, and at the end how many values arrived at how many viewers, and the lag in ms (p50, p99) of what arrived.
"""

from __future__ import annotations

import sys
import threading
import time

import numpy as np

import nbmonitor  # noqa: F401 (sets what gRPC has to find before it is imported)
from nbmonitor.events import Demand, Scalars
from nbmonitor.rpc.client import Client
from nbmonitor.rpc.trust.auth import read_token

address, token_file, count, seconds = *sys.argv[1:3], int(sys.argv[3]), float(sys.argv[4])
token, wake = read_token(token_file), threading.Event()
clients = [Client(address, token).connect(30) for _ in range(count)]
boxes = []
for k, client in enumerate(clients):
    runs = client.runs()
    box = client.subscribe(runs[k % len(runs)].run_id, notify=wake.set)
    box.demand = Demand(10.0, 64, live=True)
    boxes.append(box)
print("there", flush=True)
for box in boxes:
    box.drain()  # what came while the others attached
lags: list[float] = []
reached = set()
end = time.monotonic() + seconds
while time.monotonic() < end:
    wake.wait(0.1)
    wake.clear()
    now = time.time()
    for k, box in enumerate(boxes):
        for event in box.drain().events:
            if isinstance(event.payload, Scalars):
                reached.add(k)
                lags += [now - t for c in event.payload.columns for t in c.times]
    time.sleep(0.02)
for client in clients:
    client.close()
p50, p99 = np.percentile(lags, [50, 99]) * 1e3 if lags else (np.nan, np.nan)
print(len(lags), len(reached), p50, p99, flush=True)
