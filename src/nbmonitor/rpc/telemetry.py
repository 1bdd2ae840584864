"""OpenTelemetry (extra ``otel``): the server's figures as metrics of gRPC's own names, for whoever collects those.

Nothing is registered for the process, and nothing is exported here: the meter provider that the user set up gets the
instruments, and without one the API's instruments do nothing. gRPC's own plugin was not taken: grpcio-observability
1.85.0 needs exactly grpcio 1.85.0, and registers itself for every channel and server of the process.
"""

from __future__ import annotations

import logging
from importlib import metadata
from typing import TYPE_CHECKING, Any

from nbmonitor._version import __version__
from nbmonitor.errors import EnvironmentMissingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Literal

    from nbmonitor.rpc.metrics import Metrics

# https://github.com/grpc/proposal/blob/master/A66-otel-stats.md
STARTED = "grpc.server.call.started"
DURATION = "grpc.server.call.duration"
ACTIVE = "nbmonitor.server.calls.active"

_log = logging.getLogger("nbmonitor")


def export(metrics: Metrics, provider: Any = None) -> Callable[[], None]:
    """Offer a server's figures to OpenTelemetry; what is returned ends that.

    Parameters
    ----------
    metrics
        Of the server.
    provider
        A meter provider; the process's own by default.

    Raises
    ------
    EnvironmentMissingError
        When the extra is not installed.
    """
    try:
        from opentelemetry import metrics as otel
    except ImportError as error:
        raise EnvironmentMissingError("OpenTelemetry metrics", "otel") from error
    meter = otel.get_meter("nbmonitor", __version__, provider)
    over = False

    def started(_options: Any) -> Iterable[Any]:
        for method, figures in () if over else metrics.snapshot().items():
            count = figures.ended + figures.active
            yield otel.Observation(count, {"grpc.method": method.lstrip("/")})

    def active(_options: Any) -> Iterable[Any]:
        for method, figures in () if over else metrics.snapshot().items():
            yield otel.Observation(figures.active, {"grpc.method": method.lstrip("/")})

    meter.create_observable_counter(STARTED, [started], unit="{call}")
    meter.create_observable_up_down_counter(ACTIVE, [active], unit="{call}")
    duration = meter.create_histogram(DURATION, unit="s")

    def ended(method: str, code: str, seconds: float) -> None:
        try:
            duration.record(seconds, {"grpc.method": method.lstrip("/"), "grpc.status": code})
        except Exception as error:  # somebody else's exporter must not end a call of ours
            _log.debug("a metric was not recorded: %r", error)

    metrics.on_end = ended

    def close() -> None:
        nonlocal over
        over = True
        metrics.on_end = None

    return close


def condition(*, wanted: bool) -> tuple[Literal["ok", "warn", "skip"], str, str]:
    """State, sentence and remedy, for the doctor; ``wanted`` is the setting."""
    try:
        version = metadata.version("opentelemetry-api")
    except metadata.PackageNotFoundError:
        remedy = "pip install 'nbmonitor[otel]'"
        if wanted:
            return "warn", "It is wanted (otel), but OpenTelemetry is not installed.", remedy
        return "skip", "OpenTelemetry is not installed.", remedy
    if not wanted:
        return "skip", f"OpenTelemetry {version} is there; NBMONITOR_OTEL=1 offers it metrics.", ""
    from opentelemetry import metrics as otel

    if hasattr(
        otel.get_meter_provider(), "force_flush"
    ):  # those of an SDK have it, the API's own stand-ins do not
        return "ok", f"OpenTelemetry {version} takes the server's metrics.", ""
    text = f"OpenTelemetry {version} is offered metrics, but no meter provider is set up here yet."
    return (
        "warn",
        text,
        "opentelemetry.metrics.set_meter_provider(...), or run opentelemetry-instrument",
    )
