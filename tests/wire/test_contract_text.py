"""The published files say exactly what the contract says; ours extends it and nothing else."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from nbmonitor.broker import Broker
from nbmonitor.rpc import codec
from nbmonitor.rpc.server import Server
from nbmonitor.store.memory import MemoryStore

HERE = Path(__file__).parent
PROTOS = HERE.parents[1] / "protos"
CONTRACT = json.loads((HERE / "contract" / "contract.json").read_text())
KINDS = {v: k[5:].lower() for k, v in descriptor_pb2.FieldDescriptorProto.Type.items()}


def compiled(tmp_path, *files):
    out = tmp_path / "set"
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        f"-I{PROTOS}",
        f"--descriptor_set_out={out}",
    ]
    done = subprocess.run([*command, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"grpcio-tools (extra `test`) is needed: {done.stderr}"
    return descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file


def _field(message, f, package):
    kind = KINDS[f.type]
    if f.type_name:
        kind = f.type_name.removeprefix(f".{package}.")
        entry = {n.name: n for n in message.nested_type}.get(kind.rsplit(".", 1)[-1])
        if entry is not None and entry.options.map_entry:
            kind = "map<" + ",".join(KINDS[x.type] for x in entry.field) + ">"
    repeated = f.label == f.LABEL_REPEATED and not kind.startswith("map<")
    label = "repeated" if repeated else "optional" if f.proto3_optional else ""
    in_oneof = f.HasField("oneof_index") and not f.proto3_optional
    return [
        f.number,
        f.name,
        kind,
        label,
        message.oneof_decl[f.oneof_index].name if in_oneof else "",
    ]


def table(files, package):
    """Messages, enums and services of compiled files, in the form of contract.json."""
    out = {"package": package, "services": {}, "messages": {}, "enums": {}}

    def enter(message, prefix=""):
        name = prefix + message.name
        out["messages"][name] = [_field(message, f, package) for f in message.field]
        for nested in message.nested_type:
            if not nested.options.map_entry:
                enter(nested, f"{name}.")
        for e in message.enum_type:
            out["enums"][f"{name}.{e.name}"] = {v.name: v.number for v in e.value}

    for file in files:
        assert file.package == package
        for message in file.message_type:
            enter(message)
        for e in file.enum_type:
            out["enums"][e.name] = {v.name: v.number for v in e.value}
        for service in file.service:
            out["services"][service.name] = [
                [
                    m.name,
                    m.input_type.removeprefix(f".{package}."),
                    m.client_streaming,
                    m.output_type.removeprefix(f".{package}."),
                    m.server_streaming,
                ]
                for m in service.method
            ]
    return out


def test_the_published_files_are_the_contract(tmp_path):
    published = table(compiled(tmp_path, "metrics.proto", "core_messages.proto"), "metrics")
    assert published == CONTRACT
    assert len(published["messages"]) == 17
    assert sum(map(len, published["messages"].values())) == 66


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        (
            "example_client.py.txt",
            "e3f0f2814fec0d1e24359e1ff34a9e6d6a4162ac4e969a404b4b27fc19323721",
        ),
        (
            "example_server.py.txt",
            "b38e98e7cfd866e1ff9570e477a6e681631bbdbe0c0369772403177aadef1b94",
        ),
    ],
)
def test_the_examples_are_the_contracts_own_untouched(name, digest):
    """They end in .txt so that no formatter puts them right."""
    assert hashlib.sha256((HERE / "contract" / name).read_bytes()).hexdigest() == digest


def test_core_messages_has_the_four_and_metrics_imports_it(tmp_path):
    files = {f.name: f for f in compiled(tmp_path, "metrics.proto", "core_messages.proto")}
    core = {m.name for m in files["core_messages.proto"].message_type}
    assert core == {"BatchData", "ImageData", "Prediction", "EpochData"}
    assert list(files["metrics.proto"].dependency) == ["core_messages.proto"]


def test_ingest_extends_the_contract_from_100_up(tmp_path):
    ours = table(compiled(tmp_path, "nbmonitor/rpc/v1/ingest.proto"), "nbmonitor.rpc.v1")
    for name, fields in CONTRACT["messages"].items():
        there = {f[0]: f for f in ours["messages"][name]}
        for field in fields:
            assert there.pop(field[0]) == field, f"{name}.{field[1]}"
        assert all(number >= 100 for number in there), name
    for name, values in CONTRACT["enums"].items():
        prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", name.rsplit(".", 1)[-1]).upper() + "_"
        there = {k.removeprefix(prefix): v for k, v in ours["enums"][name].items()}
        assert {k: v for k, v in there.items() if v < 100} == values
    rpcs = CONTRACT["services"]["MetricsService"]
    assert ours["services"]["IngestService"][: len(rpcs)] == rpcs


def _plain(file):
    """Without the JSON names, which the compiler adds to descriptor sets and leaves out of stubs."""
    messages = list(file.message_type)
    while messages:
        message = messages.pop()
        messages.extend(message.nested_type)
        for field in message.field:
            field.ClearField("json_name")
    return file


def test_committed_stubs_say_what_the_proto_files_say(tmp_path):
    from nbmonitor.rpc.codec import ingest_pb2, monitor_pb2

    names = "nbmonitor/rpc/v1/ingest.proto", "nbmonitor/rpc/v1/monitor.proto"
    files = {f.name: f for f in compiled(tmp_path, *names)}
    for stub in (ingest_pb2, monitor_pb2):
        committed = descriptor_pb2.FileDescriptorProto.FromString(stub.DESCRIPTOR.serialized_pb)
        assert committed == _plain(files[stub.DESCRIPTOR.name])


def test_committed_stubs_are_of_the_pinned_generator(tmp_path):
    folder = HERE.parents[1] / "src" / "nbmonitor" / "rpc" / "v1"
    for path in folder.glob("*_pb2.py"):
        assert "# Protobuf Python Version: 5.28.1" in path.read_text()
    if importlib.util.find_spec("grpc_tools") and version("grpcio-tools") == "1.68.1":
        subprocess.run(
            [
                sys.executable,
                "-m",
                "grpc_tools.protoc",
                f"-I{PROTOS}",
                f"--python_out={tmp_path}",
                "nbmonitor/rpc/v1/ingest.proto",
                "nbmonitor/rpc/v1/monitor.proto",
            ],
            check=True,
        )
        for made in tmp_path.rglob("*_pb2.py"):
            assert made.read_text() == (folder / made.name).read_text()


@pytest.mark.parametrize("service", [codec.INGEST, codec.CONTRACT, codec.MONITOR])
def test_every_rpc_has_a_handler(service):
    served = Server(Broker(MemoryStore())).serves()
    for name, (asks, answers) in codec.methods(service).items():
        handler = served[f"/{service}/{name}"]
        assert (handler.request_streaming, handler.response_streaming) == (asks, answers), name


def test_nothing_of_the_contract_in_the_default_pool(stubs):
    """A user who imports stubs of their own into the same process is not in the way, and not in ours."""
    script = (
        "import sys, nbmonitor\n"
        "from nbmonitor.rpc.server import Server\n"
        "from nbmonitor.rpc.publisher import Publisher\n"
        "from nbmonitor.rpc.client import Client\n"
        "from google.protobuf import descriptor_pool\n"
        "pool = descriptor_pool.Default()\n"
        "for name in ('metrics.MetricsRequest', 'metrics.TrainingStatus', 'grpc.health.v1.HealthCheckRequest'):\n"
        "    try:\n"
        "        pool.FindMessageTypeByName(name)\n"
        "    except KeyError:\n"
        "        continue\n"
        "    raise SystemExit(name + ' is in the default pool')\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "import metrics_pb2, core_messages_pb2\n"
        "print(metrics_pb2.MetricsRequest(session_id='s').session_id)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(stubs)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "s\n"), done.stderr
