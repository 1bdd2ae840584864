"""The doctor: settings with their origin, checks that end in a sentence and a remedy."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
import time

import pytest

from nbmonitor import doctor, settings
from nbmonitor.broker import Broker
from nbmonitor.cli import main
from nbmonitor.doctor import machine, modes, report, road, software, trust
from nbmonitor.doctor.report import Finding, Report, Scene, Setting
from nbmonitor.process import process
from nbmonitor.rpc.publisher import Publisher
from nbmonitor.rpc.server import Server
from nbmonitor.rpc.trust import auth
from nbmonitor.rpc.trust.certificates import fingerprint, first_der
from nbmonitor.rpc.trust.selfsigned import self_signed
from nbmonitor.store.memory import MemoryStore

QUICK = (*machine.CHECKS, *trust.CHECKS, *software.CHECKS)


@pytest.fixture(autouse=True)
def _own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    for name in [n for n in os.environ if n.startswith("NBMONITOR_")]:
        monkeypatch.delenv(name)


def look(*checks, config=None, timeout=2.0, **environ):
    env = dict(os.environ) | environ
    return doctor.examine(config, env, timeout=timeout, checks=checks or QUICK)


def told(found, name):
    return [f for f in found.findings if f.name == name]


def one(found, name):
    (finding,) = told(found, name)
    return finding


@pytest.fixture
def server():
    broker = Broker(MemoryStore())
    made = Server(broker).start()
    yield made
    made.close(0.2)
    broker.close()


# --- settings --------------------------------------------------------------------------------------------------------


def test_every_setting_is_listed_with_its_origin():
    found = look(config={"overhead": 0.1}, NBMONITOR_HOST="::1", GRPC_BACKEND_PORT="0")
    origins = {s.name: (s.value, s.origin) for s in found.settings}
    assert set(origins) == {f.name for f in dataclasses.fields(settings.Settings)} - {"origin"}
    assert origins["overhead"] == ("0.1", "%config NBMonitor.overhead")
    assert origins["host"] == ("::1", "NBMONITOR_HOST")
    assert origins["port"] == ("0", "GRPC_BACKEND_PORT")
    assert origins["store"] == ("memory:", "default")


def test_an_option_of_the_command_line_is_told_as_such(capsys, monkeypatch):
    monkeypatch.setenv("NBMONITOR_TOKEN_FILE", "/from/the/environment")
    assert main(["doctor", "--json", "--address", "127.0.0.1:1", "--timeout", "0.3"]) == 1
    told = {s["name"]: s for s in json.loads(capsys.readouterr().out)["settings"]}
    assert (told["address"]["value"], told["address"]["origin"]) == ("127.0.0.1:1", "--address")
    assert told["token_file"]["origin"] == "NBMONITOR_TOKEN_FILE"
    main(["doctor", "--json", "--address", "127.0.0.1:1", "--token-file", "/nowhere"])
    told = {s["name"]: s["origin"] for s in json.loads(capsys.readouterr().out)["settings"]}
    assert told["token_file"] == "--token-file"


def test_a_secret_is_never_shown():
    found = look(NBMONITOR_AUTH_TOKENS="hunter2" * 7, NBMONITOR_TOKEN_FILE="/a/b")
    shown = {s.name: s.value for s in found.settings}
    assert shown["auth_tokens"] == "(set, not shown)"
    assert shown["token_file"] == "/a/b", "a way is no secret"
    assert "hunter2" not in found.text() + found.json()
    masked = report._shown("postgresql://ada:hunter2@db/x", secret=False)
    assert masked == "postgresql://ada:***@db/x"


def test_a_setting_that_cannot_be_used_is_told_and_overlooked():
    found = look(config={"overhead": -1}, NBMONITOR_PORT="many", NBMONITOR_HSOT="x")
    bad = {f.remedy: f for f in told(found, "settings")}
    assert found.failed
    assert "a port number from 0 to 65535" in bad["correct or unset NBMONITOR_PORT"].text
    assert bad["correct or unset overhead"].state == "fail"
    assert bad["did you mean NBMONITOR_HOST?"].state == "warn"
    assert {s.name: s.value for s in found.settings}["port"] == "0"


# --- what it looks like ----------------------------------------------------------------------------------------------


def test_it_reads_well_in_80_columns():
    long = "A sentence that is rather longer than what fits into one line of a terminal, or of a notebook's cell."
    path = "/a/way/" + "x" * 90
    found = Report(
        (Setting("token_file", path, "NBMONITOR_TOKEN_FILE"), Setting("port", "0", "default")),
        (Finding("one", "ok", long), Finding("another", "fail", long, long)),
    )
    lines = found.text().splitlines()
    assert [line for line in lines if len(line) > 80] == [f"  token_file  {path}"]
    assert found.text().count("FAIL") == 1
    assert any(line.lstrip().startswith("→ A sentence") for line in lines)
    assert lines[-1] == "1 failed, 0 to look at, 1 in order."
    assert (
        Report((), (Finding("x", "skip", "y"), Finding("x", "ok", "y")))
        .text()
        .endswith("All 1 in order.")
    )


def test_a_path_is_told_in_one_piece_whatever_is_in_it():
    path = "/a folder/with_underscores  and *stars*/" + "x " * 40 + "end"
    found = look(NBMONITOR_TOKEN_FILE=f"{path}\x1b[2J", NBMONITOR_SSH="ssh -F 'a b'\n")
    lines = found.text().splitlines()
    assert any(line.endswith(f"{path}\ufffd[2J") for line in lines)
    assert {s.name: s.value for s in found.settings}["ssh"] == "ssh -F 'a b' "


def test_json_and_exit_status(capsys, monkeypatch):
    assert main(["doctor", "--json"]) == 0
    good = json.loads(capsys.readouterr().out)
    assert not good["failed"]
    assert {"bidi stream", "unary call", "server stream", "client stream"} <= {
        f["name"] for f in good["findings"] if f["state"] == "ok"
    }
    assert main(["doctor", "--address", "127.0.0.1:1", "--timeout", "0.3"]) == 1
    text = capsys.readouterr().out
    assert "FAIL  server" in text
    assert "NBMONITOR_ADDRESS" not in text
    monkeypatch.setenv("NBMONITOR_PORT", "-1")
    assert main(["doctor"]) == 1
    assert "correct or unset NBMONITOR_PORT" in capsys.readouterr().out


def test_neither_torch_nor_jupyter_is_imported_by_looking():
    code = (
        "import sys; from nbmonitor.doctor import examine; text = examine().text();"
        "print([m for m in ('torch', 'IPython', 'anywidget', 'ipykernel') if m in sys.modules]);"
        "print('not imported' in text)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "True"], done


def test_a_check_that_breaks_is_a_finding():
    def _of_the_moon(_scene):
        raise ZeroDivisionError("no moon")

    finding = one(look(_of_the_moon), "of the moon")
    assert (finding.state, "no moon" in finding.text) == ("fail", True)


# --- machine ---------------------------------------------------------------------------------------------------------


def test_ports():
    assert one(look(machine._port), "port").state == "ok"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        finding = one(look(machine._port, NBMONITOR_PORT=str(port)), "port")
    assert finding.state == "warn"
    assert f"pid {os.getpid()}" in finding.text
    assert "NBMONITOR_PORT=0" in finding.remedy
    finding = one(look(machine._port, NBMONITOR_HOST="192.0.2.1"), "port")
    assert (finding.state, "192.0.2.1" in finding.text) == ("fail", True)


def test_token_files(tmp_path):
    path = auth.write_token("t" * 43)

    def finding(which):
        return one(look(trust._token_files, NBMONITOR_TOKEN_FILE=str(which)), "token file")

    assert finding(path).state == "ok"
    assert "role owner" in finding(path).text
    path.chmod(0o644)
    assert (finding(path).state, f"chmod 600 {path}" in finding(path).remedy) == ("fail", True)
    assert finding(tmp_path / "none").state == "fail"
    path.chmod(0o600)
    path.write_text("t" * 43 + " viewer ada expires=2020-01-01\n")
    assert (finding(path).state, "2020" in finding(path).text) == ("fail", True)
    path.write_text("t" * 43 + "\n" + "u" * 43 + " viewer ada expires=2020-01-01\n")
    assert (finding(path).state, "ada expired" in finding(path).text) == ("warn", True)
    found = look(trust._token_files, NBMONITOR_TOKEN_FILE=str(path)).text()
    assert "ttt" not in found
    assert "uuu" not in found
    path.write_text("")
    assert finding(path).state == "fail"
    assert one(look(trust._token_files), "token file").state == "skip"


def test_certificates(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    cert, key = self_signed("127.0.0.1", tmp_path / "a")
    other, _ = self_signed("127.0.0.1", tmp_path / "b")

    def findings(**files):
        named = settings.Settings(**{n: str(p) for n, p in files.items()})
        return {f.name: f for f in trust._certificates(Scene(named, {}))}

    good = findings(tls_cert=cert, tls_key=key, tls_ca=cert)
    assert {n: f.state for n, f in good.items()} == {"certificate": "ok", "authority": "ok"}
    assert fingerprint(first_der(cert.read_text())) in good["certificate"].text
    wrong = findings(tls_cert=other, tls_key=key)["certificate"]
    assert (wrong.state, "another certificate" in wrong.text) == ("fail", True)
    assert findings(tls_cert=cert)["certificate"].state == "fail"
    assert findings(tls_ca=tmp_path / "none")["authority"].state == "fail"
    assert findings()["certificate"].state == "skip"
    true = time.time()
    monkeypatch.setattr("ssl.cert_time_to_seconds", lambda _: true + 3 * 86_400)
    assert findings(tls_cert=cert, tls_key=key)["certificate"].state == "warn"


def test_folders(monkeypatch, tmp_path):
    assert "which is private" in one(look(machine._folder), "folder").text
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=1 << 20))
    assert "1 MiB left" in one(look(machine._folder), "folder").text


def test_clock(monkeypatch):
    assert one(look(machine._clock), "clock").state == "ok"
    monkeypatch.setattr("time.time", lambda: 1e9)
    assert one(look(machine._clock), "clock").state == "fail"


def test_ssh_and_proxies(monkeypatch):
    assert one(look(machine._proxies, http_proxy="http://proxy:3128"), "proxy").state == "ok"
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert one(look(machine._ssh), "ssh").state == "warn"
    assert one(look(machine._ssh, NBMONITOR_ADDRESS="ssh://box"), "ssh").state == "fail"


# --- software --------------------------------------------------------------------------------------------------------


def test_versions_known_to_be_bad(monkeypatch):
    true = software._version
    for name, version, state in (
        ("ipykernel", "7.0.1", "fail"),
        ("ipywidgets", "7.8.1", "fail"),
        ("anywidget", "", "skip"),
        ("jupyterlab", "4.6.6", "ok"),
    ):
        monkeypatch.setattr(
            software, "_version", lambda n, name=name, v=version: v if n == name else true(n)
        )
        findings = told(look(software._notebook), "notebook")
        assert findings[0].state == state, name
        assert bool(findings[0].remedy) == (state != "ok")


def test_fork_settings(monkeypatch):
    assert one(look(software._fork), "fork").state == "ok"
    finding = one(look(software._fork, GRPC_ENABLE_FORK_SUPPORT="1"), "fork")
    assert (finding.state, "forkserver" in finding.remedy) == ("warn", True)
    monkeypatch.setattr("nbmonitor.grpc_came_first", True)
    assert "too late" in one(look(software._fork), "fork").text


def test_the_slow_parser_is_told(monkeypatch):
    monkeypatch.setattr("google.protobuf.internal.api_implementation.Type", lambda: "python")
    assert one(look(software._wire), "versions").state == "warn"


def test_extras(monkeypatch):
    monkeypatch.setitem(sys.modules, "grpc_reflection.v1alpha.reflection", None)
    finding = one(look(software._extras), "reflection")
    assert (finding.state, "nbmonitor[reflection]" in finding.remedy) == ("skip", True)


# --- road and modes --------------------------------------------------------------------------------------------------


def test_the_server_that_is_reported_to(server, tmp_path):
    path = auth.write_token(server.token)
    env = {"NBMONITOR_ADDRESS": server.address, "NBMONITOR_TOKEN_FILE": str(path)}
    found = look(road._reach, **env)
    assert one(found, "server").state == "ok"
    assert one(found, "clock skew").state == "ok"
    path.write_text("w" * 43)
    finding = one(look(road._reach, **env), "server")
    assert (finding.state, "token" in finding.text) == ("fail", True)
    assert one(look(road._reach), "server").state == "skip"


def test_a_clock_that_is_off_is_told(server, monkeypatch):
    path = auth.write_token(server.token)
    true = road.api.attach

    class Late:
        def __init__(self, client):
            self._client = client

        def ask_server(self, timeout):
            there, took = self._client.ask_server(timeout)
            return dataclasses.replace(there, now=there.now - 3600), took

        def __getattr__(self, name):
            return getattr(self._client, name)

    monkeypatch.setattr(road.api, "attach", lambda *a, **k: Late(true(*a, **k)))
    found = look(road._reach, NBMONITOR_ADDRESS=server.address, NBMONITOR_TOKEN_FILE=str(path))
    finding = one(found, "clock skew")
    assert (finding.state, "3600 s behind" in finding.text) == ("warn", True)


def test_the_calls_of_this_processs_server_are_told(server, monkeypatch):
    monkeypatch.setattr(process, "server", server)
    assert "0 calls so far" in one(look(road._served), "calls").text
    assert one(look(machine._port), "port").text.endswith(f"listens on {server.address}.")


def test_the_four_modes():
    began = time.monotonic()
    found = look(modes._four)
    assert [(f.name, f.state) for f in found.findings[1:]] == [
        ("bidi stream", "ok"),
        ("unary call", "ok"),
        ("server stream", "ok"),
        ("client stream", "ok"),
    ], found.text()
    assert time.monotonic() - began < 5


def test_a_mode_that_does_not_work_is_told_with_a_remedy(monkeypatch):
    true = Publisher.flush
    monkeypatch.setattr(Publisher, "flush", lambda *a, **k: not true(*a, **k))
    found = look(modes._four)
    finding = one(found, "bidi stream")
    assert (finding.state, "not acknowledged" in finding.text) == ("fail", True)
    assert "127.0.0.1" in finding.remedy
    assert one(found, "unary call").state == "ok"


def test_a_scene_has_what_checks_look_at():
    assert Scene(settings.Settings(), {}).shell is None


@pytest.mark.slow
def test_in_a_notebook(kernel):
    kernel.say("%load_ext nbmonitor\n%config NBMonitor.overhead = 0.1")
    text = kernel.say("%nbmonitor doctor")
    assert "%config NBMonitor.overhead" in text
    assert "The control channel is open" in text
    assert "The server of this process listens" in text
    assert "calls so far" in text
    assert "FAIL" not in text
    wide = [line.split() for line in text.splitlines() if len(line) > 80]
    assert all("/" in words[-1] for words in wide), "ways are not broken, everything else is"
