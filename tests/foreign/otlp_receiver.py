"""An OTLP receiver over gRPC, of PyPI's `opentelemetry-proto` (the protocol's own generated classes) and `grpcio`.
Told in its first argument (JSON) the `certificate` and `key` to serve TLS with, if any. Prints its port as the first
JSON line, then one JSON line a span, with its resource and the call's metadata."""

import json
import sys
from concurrent import futures

import grpc
from google.protobuf.json_format import MessageToJson
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

given = json.loads(sys.argv[1])


def value(any_value):
    kind = any_value.WhichOneof("value")
    return getattr(any_value, kind) if kind in ("string_value", "int_value", "bool_value", "double_value") else None


def named(attributes):
    return {attribute.key: value(attribute.value) for attribute in attributes}


def say(line):
    print(json.dumps(line), flush=True)


class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
    def Export(self, request, context):
        metadata = dict(context.invocation_metadata())
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    say(
                        {
                            "name": span.name,
                            "kind": Span.SpanKind.Name(span.kind),
                            "trace_id": span.trace_id.hex(),
                            "span_id": span.span_id.hex(),
                            "parent": span.parent_span_id.hex(),
                            "nanoseconds": span.end_time_unix_nano - span.start_time_unix_nano,
                            "attributes": named(span.attributes),
                            "links": [f"{link.trace_id.hex()}-{link.span_id.hex()}" for link in span.links],
                            "status": Status.StatusCode.Name(span.status.code),
                            "message": span.status.message,
                            "resource": named(resource.resource.attributes),
                            "metadata": {key: text for key, text in metadata.items() if isinstance(text, str)},
                            "whole": MessageToJson(request),
                        }
                    )
        return trace_service_pb2.ExportTraceServiceResponse()


server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Receiver(), server)
if "certificate" in given:
    pair = (given["key"].encode(), given["certificate"].encode())
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
else:
    port = server.add_insecure_port("127.0.0.1:0")
server.start()
say({"port": port})
server.wait_for_termination()
