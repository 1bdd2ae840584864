"""A trainer in a process of its own, for the tests: python trainer_process.py ADDRESS TOKEN_FILE HOW"""

from __future__ import annotations

import sys
import time

import numpy as np

from nbmonitor.events import Column, CommandState, Event, RunInfo, RunState, Scalars, Status
from nbmonitor.rpc.publisher import Publisher
from nbmonitor.rpc.trust.auth import read_token

address, token_file, how = sys.argv[1:4]
publisher = Publisher(address, read_token(token_file), retry=(0.02, 0.2)).start()
asked = []


def deliver(command):
    asked.append(command)
    return CommandState.DELIVERED


info = publisher.open(RunInfo("", "elsewhere", controls={"stop": {}}), deliver)


def say(payload, step):
    publisher.publish([Event(info.run_id, step, time.time(), payload)])


say(Status(RunState.RUNNING), 0)
step = 0
print(info.run_id, flush=True)
while not asked:
    column = Column("loss", np.array([step]), np.array([1.0]), np.array([time.time()]))
    say(Scalars((column,)), step)
    step += 1
    if how == "leave" and step == 50:
        publisher.flush(5)
        print("LEAVING", flush=True)
        sys.exit(0)  # with the stream open and threads at work
    time.sleep(0.002)
say(Status(RunState.STOPPED, "as asked"), step)
publisher.close(5)
print(step, flush=True)
