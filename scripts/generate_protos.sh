#!/bin/sh
# Generates src/nbmonitor/rpc/v1/ from protos/, in an environment of its own.
# The pinned grpcio-tools is OLD on purpose: its output imports on protobuf 5.28 and on every later release, while
# what a newer one writes refuses to run beside packages that still need protobuf 6.
set -eu
cd "$(dirname "$0")/.."
env=.cache/grpcio-tools-1.68.1
if [ ! -x "$env/bin/python" ]; then
  "${PYTHON:-python3}" -m venv "$env"
  "$env/bin/python" -m pip install --quiet "grpcio-tools==1.68.1" "setuptools<81"
fi
"$env/bin/python" -m grpc_tools.protoc -I protos --python_out=src --pyi_out=src \
  nbmonitor/rpc/v1/ingest.proto nbmonitor/rpc/v1/monitor.proto
