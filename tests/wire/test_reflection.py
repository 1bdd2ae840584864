"""What the server tells tools about itself, asked by the stock client."""

from __future__ import annotations

import subprocess
import sys

import grpc
import pytest
from google.protobuf import descriptor_pool
from google.protobuf.message_factory import GetMessageClass

from nbmonitor.rpc import codec, reflection
from nbmonitor.rpc.trust.auth import metadata

stock = pytest.importorskip(
    "grpc_reflection.v1alpha.proto_reflection_descriptor_database",
    reason="the extra `reflection` is not installed",
)


class WithToken(grpc.StreamStreamClientInterceptor):
    def __init__(self, token):
        self._metadata = metadata(token)

    def intercept_stream_stream(self, continuation, details, requests):
        return continuation(details._replace(metadata=self._metadata), requests)


@pytest.fixture
def database(server):
    with grpc.insecure_channel(server.address) as channel:
        yield stock.ProtoReflectionDescriptorDatabase(
            grpc.intercept_channel(channel, WithToken(server.token))
        )


def test_a_stock_client_finds_every_service_and_its_types(server, database):
    assert set(database.get_services()) == {
        codec.INGEST,
        codec.CONTRACT,
        codec.MONITOR,
        "grpc.health.v1.Health",
        reflection.SERVICES[0],
    }
    pool = descriptor_pool.DescriptorPool(database)
    for service in (codec.INGEST, codec.CONTRACT, codec.MONITOR, "grpc.health.v1.Health"):
        found = pool.FindServiceByName(service)
        served = {p.rpartition("/")[2] for p in server.serves() if p[1:].startswith(f"{service}/")}
        assert {m.name for m in found.methods} == served


def test_a_call_can_be_made_of_what_was_told(server, broker, database):
    """As grpcurl does: from the description alone, without our code."""
    service = descriptor_pool.DescriptorPool(database).FindServiceByName(codec.CONTRACT)
    method = service.FindMethodByName("RegisterTrainingSession")
    ask, answer = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    with grpc.insecure_channel(server.address) as channel:
        call = channel.unary_unary(
            f"/{codec.CONTRACT}/RegisterTrainingSession",
            request_serializer=ask.SerializeToString,
            response_deserializer=answer.FromString,
        )
        assert call(ask(session_id="by hand"), timeout=5).success
    assert broker.runs()[0].name == "by hand"


@pytest.mark.parametrize("service", reflection.SERVICES)
def test_it_needs_a_token(server, service):
    messages = pytest.importorskip("grpc_reflection.v1alpha.reflection_pb2")
    asked = messages.ServerReflectionRequest(list_services="").SerializeToString()
    with grpc.insecure_channel(server.address) as channel:
        call = channel.stream_stream(f"/{service}/{reflection.METHOD}")
        with pytest.raises(grpc.RpcError) as caught:
            list(call(iter([asked]), timeout=5))
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert "token" in caught.value.details()
        (told,) = call(iter([asked]), timeout=5, metadata=metadata(server.token))
    found = messages.ServerReflectionResponse.FromString(told)
    assert codec.MONITOR in [s.name for s in found.list_services_response.service]


def test_without_the_extra_there_is_no_reflection_and_nothing_else_is_missing(monkeypatch, server):
    monkeypatch.setitem(sys.modules, "grpc_reflection.v1alpha.reflection", None)
    assert "not installed" in reflection.problem()
    with grpc.insecure_channel(server.address) as channel:
        call = channel.stream_stream(f"/{reflection.SERVICES[0]}/{reflection.METHOD}")
        with pytest.raises(grpc.RpcError) as caught:
            list(call(iter([b""]), timeout=5, metadata=metadata(server.token)))
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        listed = channel.unary_unary(f"/{codec.MONITOR}/ListRuns")
        listed(b"", timeout=5, metadata=metadata(server.token))


def test_nothing_of_the_contract_enters_the_default_pool():
    code = (
        "from google.protobuf import descriptor_pool as p\n"
        "from nbmonitor.rpc import reflection\n"
        "reflection._handler()\n"
        "for name in ('metrics.MetricsService', 'grpc.health.v1.Health'):\n"
        "    try: p.Default().FindServiceByName(name)\n"
        "    except KeyError: continue\n"
        "    raise SystemExit(name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
