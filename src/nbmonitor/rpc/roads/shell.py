"""What another machine is asked over ssh: lines of POSIX sh that print its servers' announcements, and their reader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbmonitor.rpc.roads import discovery

if TYPE_CHECKING:
    from nbmonitor.rpc.roads.discovery import Found

# The places are those of `auth.places` on Linux and macOS. Whoever logs in may have other variables than a trainer, so
# the usual place is looked at beside the one that XDG_STATE_HOME names. `read` waits for a line of ours, and ends this
# when our end of the pipe is gone.
_SCRIPT = r"""
LC_ALL=C
show() {
  printf '%s begin %s %s\n' WORD "$(uname -n)" "$(readlink /proc/self/ns/pid 2>/dev/null)"
  for d in "${XDG_STATE_HOME:-$HOME/.local/state}/nbmonitor/run" "$HOME/.local/state/nbmonitor/run" \
      "$HOME/Library/Application Support/nbmonitor/run" "${XDG_RUNTIME_DIR:-/run/user/$(id -u)}/nbmonitor" \
      "$HOME/Library/Caches/TemporaryItems/nbmonitor"; do
    [ -d "$d" ] && [ -O "$d" ] || continue
    for f in "$d"/server-*.json; do
      [ -f "$f" ] && [ -O "$f" ] || continue
      pid=$(sed -n 's/.*"pid": *\([0-9][0-9]*\).*/\1/p' "$f")
      token=$(sed -n 's/.*"token_file": *"\([^"]*\)".*/\1/p' "$f")
      gone=gone
      [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null && gone=lives
      printf '%s server %s ' WORD "$gone"
      sed -n 1p "$f"
      [ -r "$token" ] || continue
      printf '%s token ' WORD
      sed -n '/^[[:space:]]*[^#[:space:]]/{s/^[[:space:]]*//;s/[[:space:]].*//;p;q;}' "$token"
      echo
    done
  done
  printf '%s end\n' WORD
}
show
while read -r line; do show; done
"""


def script(word: str) -> str:
    """Return the lines for ``sh -s``; what they print begins with ``word``."""
    return _SCRIPT.replace("WORD", word)


class Listing:
    """What one round printed: servers that run there, and their tokens by the name of their files.

    Parameters
    ----------
    head
        Name of the machine and of the space of its processes.
    """

    def __init__(self, head: str) -> None:
        self._machine, _, self._space = head.strip().partition(" ")
        self._found: dict[str, Found] = {}
        self._last = ""
        self.tokens: dict[str, str] = {}

    @property
    def servers(self) -> list[Found]:
        """The servers that run there."""
        return list(self._found.values())

    def take(self, kind: str, text: str) -> None:
        """Take a line."""
        if kind == "token" and self._last and text and text.isprintable():
            self.tokens.setdefault(self._last, text.strip())
        if kind != "server":
            return
        state, _, announced = text.partition(" ")
        found, self._last = discovery.parse(announced), ""
        if found is None or found.machine != self._machine:
            return  # a home folder that machines share
        if found.space == self._space and state != "lives":
            return
        self._found.setdefault(found.name, found)
        self._last = found.name
