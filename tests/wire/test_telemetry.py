"""The server's figures as OpenTelemetry metrics, read by a reader in memory."""

from __future__ import annotations

import sys

import grpc
import pytest

from nbmonitor.errors import EnvironmentMissingError
from nbmonitor.process import Process
from nbmonitor.rpc import codec, telemetry
from nbmonitor.rpc.metrics import Metrics
from nbmonitor.rpc.trust.auth import metadata
from nbmonitor.settings import Settings

sdk = pytest.importorskip(
    "opentelemetry.sdk.metrics", reason="opentelemetry-sdk (extra `test`) is not installed"
)
export = pytest.importorskip("opentelemetry.sdk.metrics.export")

LIST = f"{codec.MONITOR}/ListRuns"


@pytest.fixture
def reader():
    return export.InMemoryMetricReader()


@pytest.fixture
def provider(reader):
    made = sdk.MeterProvider([reader], shutdown_on_exit=False)
    yield made
    made.shutdown()


def points(reader):
    """Name → attributes' values → data point."""
    data = reader.get_metrics_data()
    return {
        m.name: {frozenset(p.attributes.values()): p for p in m.data.data_points}
        for r in (data.resource_metrics if data else ())
        for s in r.scope_metrics
        for m in s.metrics
    }


def test_calls_are_seen_by_a_reader_under_grpcs_names(server, provider, reader, eventually):
    close = telemetry.export(server.metrics, provider)
    with grpc.insecure_channel(server.address) as channel:
        listed = channel.unary_unary(f"/{LIST}")
        for _ in range(2):
            listed(b"", metadata=metadata(server.token), timeout=5)
        with pytest.raises(grpc.RpcError):
            listed(b"", timeout=5)
        watch = channel.unary_stream(f"/{codec.MONITOR}/WatchRun")
        watching = watch(b"", metadata=metadata(server.token))
        next(watching)
        eventually(lambda: server.metrics.snapshot()[f"/{LIST}"].ended == 3)
        found = points(reader)
        watching.cancel()
    assert found["grpc.server.call.started"][frozenset({LIST})].value == 3
    assert found["grpc.server.call.duration"][frozenset({LIST, "OK"})].count == 2
    assert found["grpc.server.call.duration"][frozenset({LIST, "UNAUTHENTICATED"})].count == 1
    assert 0 < found["grpc.server.call.duration"][frozenset({LIST, "OK"})].sum < 5
    assert (
        found["nbmonitor.server.calls.active"][frozenset({f"{codec.MONITOR}/WatchRun"})].value == 1
    )
    close()
    assert server.metrics.on_end is None


def test_an_exporter_that_fails_ends_no_call(provider, monkeypatch):
    metrics = Metrics()
    telemetry.export(metrics, provider)
    monkeypatch.setattr("opentelemetry.sdk.metrics.Histogram.record", lambda *_: 1 / 0)
    began = metrics._begin("/a")
    metrics._end("/a", "OK", began)
    assert metrics.snapshot()["/a"].ended == 1


def test_it_is_off_unless_it_is_asked_for_and_nothing_is_registered(tmp_path, monkeypatch):
    from opentelemetry import metrics as otel

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    before = otel.get_meter_provider()
    for wanted in (False, True):
        here = Process()
        server = here.open_server(Settings(otel=wanted))
        assert (server.metrics.on_end is not None) is wanted
        here.close()
    assert otel.get_meter_provider() is before
    assert not hasattr(before, "force_flush"), "the API's own stand-in"


def test_without_the_extra_it_is_said_and_the_server_serves(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(EnvironmentMissingError, match=r"nbmonitor\[otel\]"):
        telemetry.export(Metrics())
    here = Process()
    with pytest.warns(UserWarning, match=r"nbmonitor\[otel\]"):
        server = here.open_server(Settings(otel=True))
    assert server.port > 0
    here.close()


def test_what_the_doctor_is_told(monkeypatch, provider):
    assert telemetry.condition(wanted=False)[0] == "skip"
    assert telemetry.condition(wanted=True)[0] == "warn", "nobody collects them"
    monkeypatch.setattr("opentelemetry.metrics.get_meter_provider", lambda: provider)
    assert telemetry.condition(wanted=True)[0] == "ok"
