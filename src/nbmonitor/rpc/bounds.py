"""How much of a server a trainer may take by its mere words: ids, runs without a token, the protocol that it speaks."""

from __future__ import annotations

from nbmonitor.rpc.codec.terms import PROTOCOL

ID = 256  # characters of a run's or session's id
STRANGERS = 256  # runs without a token in one life of a server


def bad_id(what: str, value: str) -> str:
    """Why an id is not taken; "" when it is. It is compared and shown, and never part of a path or a query."""
    if len(value) <= ID:
        return ""
    return f"the {what} has {len(value)} characters; expected {ID} at most: give it a shorter name"


def too_new(major: int) -> str:
    """Why a trainer of this protocol is not understood; "" when it is."""
    if major <= PROTOCOL[0]:
        return ""
    return f"the trainer speaks protocol {major} and this server {PROTOCOL[0]}: update nbmonitor where the server runs"


def too_many(strangers: int) -> str:
    """Why no further run without a token is taken; "" when it is."""
    if strangers < STRANGERS:
        return ""
    return f"{STRANGERS} runs without a token are the limit here: report with the server's token (token_file=)"
