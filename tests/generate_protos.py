#!/usr/bin/env python3
"""Generates the Python modules for tests/mesos-box/check/run.py --wire protobuf from our own .proto files.

  generate_protos.py OUT PROTO_FOLDER...

Needs the Python package grpcio-tools on the path (scripts/peers installs it). The check encodes and decodes messages
only with these modules, so it fails if our .proto files lack a message or field that it needs.
"""
import os
import sys

from grpc_tools import protoc


def main():
    out, folders = os.path.abspath(sys.argv[1]), [os.path.abspath(f) for f in sys.argv[2:]]
    os.makedirs(out, exist_ok=True)
    files = sorted(os.path.relpath(os.path.join(at, name), folder)
                   for folder in folders for at, _, names in os.walk(folder)
                   for name in names if name.endswith(".proto"))
    status = protoc.main(["protoc"] + ["-I" + f for f in folders] + ["--python_out=" + out] + files)
    if status:
        sys.exit("protoc ended with status %d" % status)


if __name__ == "__main__":
    main()
