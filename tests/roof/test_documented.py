"""What the documentation tells to type is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nbmonitor import cli

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/serving.md")
SPAN = re.compile(r"`([^`\n]+)`")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


def spans(page):
    """What stands between backticks in the text, and the lines to type in a console."""
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    typed = [line[2:] for b in blocks for line in b.splitlines() if line.startswith("$ ")]
    return SPAN.findall(re.sub(r"```.*?```", "", text, flags=re.DOTALL)) + typed


def helped(capsys, *words):
    with pytest.raises(SystemExit) as over:
        cli.main([*words, "--help"])
    assert over.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_their_options_are_there(page, capsys):
    asked = [s.split() for s in spans(page) if re.match(r"nbmonitor [a-z]", s)]
    assert asked
    for words in asked:
        assert words[1] in cli.COMMANDS, words
        inner = words[1:3] if words[1] == "token" and len(words) > 2 else words[1:2]
        said = helped(capsys, *inner)
        for option in OPTION.findall(" ".join(words)):
            assert option in OPTION.findall(said), words


def test_options_that_stand_alone_are_some_commands(capsys):
    said = [helped(capsys, name) for name in cli.COMMANDS]
    said += [helped(capsys, "token", what) for what in ("make", "list", "revoke")]
    there = set(OPTION.findall("".join(said)))
    named = {o for s in spans("docs/serving.md") if s.startswith("--") for o in OPTION.findall(s)}
    assert named
    assert named <= there


@pytest.mark.parametrize("page", PAGES)
def test_words_and_options_of_the_magic_are_there(page):
    from nbmonitor.extension import _OPTIONS, HELP

    known = set(re.findall(r"^%nbmonitor ([a-z]+)", HELP, re.MULTILINE))
    text = (ROOT / page).read_text(encoding="utf-8")
    assert set(re.findall(r"(?<!%)%nbmonitor ([a-z]+)", text)) <= known
    options = {o for s in spans(page) for o in re.findall(r"\b(token_file|tls\w*)=", s)}
    assert options <= set(_OPTIONS)
    assert {o for o in _OPTIONS if f"{o}=" not in HELP} == set()


def test_where_tokens_are_is_told_as_it_is():
    """The state folder, not that of the session: it differs between a notebook and a login shell."""
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        folders = re.findall(r"token in (\S+)/[\w-]+", text)
        assert folders
        assert set(folders) == {"/home/ada/.local/state/nbmonitor/run"}
