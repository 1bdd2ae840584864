"""Roof: from an address, as a person writes it, to a connected client and the run that is meant."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from nbmonitor import address as addresses
from nbmonitor.errors import AttachError
from nbmonitor.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nbmonitor.address import Address
    from nbmonitor.events import RunInfo
    from nbmonitor.rpc.client import Client
    from nbmonitor.rpc.roads.discovery import Found
    from nbmonitor.rpc.roads.ssh import Tunnel
    from nbmonitor.rpc.trust.tls import Tls

SSH = 25.0  # seconds for ssh to get through, twice
SHOWN = 8  # runs in a table
NAME, ID = 100, 256  # characters of a run's name and id in it


def attach(
    address: str,
    *,
    token: str | None = None,
    token_file: str | os.PathLike[str] | None = None,
    tls: Tls | bool | None = None,
    ssh: str = "ssh",
    timeout: float = 5.0,
) -> tuple[Client, str]:
    """Connect; returns the client, and the id of the run that the address names ("" where it names none).

    See :func:`nbmonitor.attach` for the parameters; ``ssh`` is how ssh is called.
    """
    where = addresses.parse(address)
    if where.kind == "ssh":
        return _over_ssh(where, ssh, timeout)
    dial, found, run = where, None, ""
    if where.kind == "name":
        found, run = named(where.run)
        dial = addresses.parse(found.dial)
    elif token is None and token_file is None:
        found = listening(where)
    word: str | Callable[[], str | None] | None = token
    if token is None:
        word = _file(
            token_file if token_file is not None or found is None else found.token_file, where
        )
    if tls is None and found is not None and found.fingerprint and dial.kind == "tcp":
        from nbmonitor.rpc.trust.tls import Tls as Checked

        tls = Checked(fingerprint=found.fingerprint)
    return _connected(dial, word, timeout, name=str(where), tls=tls), run


def named(run: str) -> tuple[Found, str]:
    """The server of this machine that has a run, by the run's name or id, and that run's id."""
    from nbmonitor.rpc.roads import discovery

    found, meant = discovery.choose(discovery.servers(), run)
    return found, meant.run_id if meant is not None else ""


def table(runs: Sequence[RunInfo], shown: str) -> str:
    """A short list of runs, newest first, with a mark at the one that is shown."""
    lines = [f"{'▸' if r.run_id == shown else ' '} {line(r)}" for r in runs[:SHOWN]]
    more = len(runs) - SHOWN
    return "\n".join(
        [*lines, f"  and {more} more: they are in the panel's menu"] if more > 0 else lines
    )


def line(run: RunInfo) -> str:
    """A run in a list that is printed: state, step, name and id."""
    name, run_id = one_line(run.name, NAME), one_line(run.run_id, ID)
    return f"{run.state:<13} step {run.step:>9,}  {name}  ({run_id})"


def _over_ssh(where: Address, ssh: str, timeout: float) -> tuple[Client, str]:
    from nbmonitor.rpc.roads import discovery
    from nbmonitor.rpc.roads.ssh import Tunnel

    tunnel = Tunnel(where, ssh).start(SSH)
    try:
        meant = discovery.choose([tunnel.server], where.run)[1] if where.run else None
        client = _connected(
            addresses.parse(tunnel.target),
            tunnel.token,
            timeout,
            name=str(where),
            tunnel=tunnel,
        )
    except AttachError as error:
        why = tunnel.problem
        tunnel.close()
        raise AttachError(why or str(error)) from error
    except BaseException:
        tunnel.close()
        raise
    return client, meant.run_id if meant is not None else ""


def _connected(
    dial: Address,
    token: str | Callable[[], str | None] | None,
    timeout: float,
    *,
    name: str,
    tls: Tls | bool | None = None,
    tunnel: Tunnel | None = None,
) -> Client:
    from nbmonitor.rpc.client import Client

    client = Client(dial.target, token, name=name, tls=tls, tunnel=tunnel)
    return client.connect(timeout)


def listening(where: Address) -> Found | None:
    """The server of this machine that announced an address; of others nothing is announced here."""
    from nbmonitor.rpc.roads import discovery

    if not where.loopback:
        return None
    return next(
        (
            f
            for f in discovery.servers()
            if where.target in (f.address, f.dial) or (where.port and f.port == where.port)
        ),
        None,
    )


def _file(path: str | os.PathLike[str] | None, where: Address) -> Callable[[], str]:
    from nbmonitor.rpc.roads.bearer import TokenFile

    if path is not None:
        return TokenFile(os.fspath(path))
    if not where.loopback:
        raise AttachError(
            f"There is no token for {where}. Expected one, for a server on another machine: go by ssh, which brings it "
            f"(%nbmonitor attach ssh://{where.host}), or copy the token file that the server named when it started and "
            f"pass it: %nbmonitor attach {where} token_file=FILE"
        )
    from nbmonitor.rpc.channel import strange

    if why := strange(where.target):
        raise AttachError(why)
    raise AttachError(
        f"There is no token for {where}: no server of this machine listens there. `nbmonitor runs` lists those that "
        "do. For one behind a forward of your own, pass token_file=FILE; `%nbmonitor attach ssh://HOST` forwards and "
        "brings the token by itself."
    )
