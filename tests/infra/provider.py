"""A provider that knows the google provider's schema and does nothing.

Terraform holds every block of the configuration against the schema, and its own `mock_provider`
stands in for what the real one would do.
"""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from concurrent import futures

import grpc
from tf.gen import tfplugin_pb2 as plugin
from tf.gen import tfplugin_pb2_grpc as rpc

ADDRESS = "registry.terraform.io/hashicorp/google"


class SchemaProvider(rpc.ProviderServicer):  # type: ignore[misc]
    """Answers what Terraform asks before it plans; every configuration is accepted."""

    def __init__(self, schema: plugin.GetProviderSchema.Response) -> None:
        self._schema = schema

    def GetProviderSchema(self, _request: object, _context: object) -> object:  # noqa: N802
        return self._schema

    def ValidateProviderConfig(self, _request: object, _context: object) -> object:  # noqa: N802
        return plugin.ValidateProviderConfig.Response()

    def ValidateResourceConfig(self, _request: object, _context: object) -> object:  # noqa: N802
        return plugin.ValidateResourceConfig.Response()

    def ValidateDataResourceConfig(self, _request: object, _context: object) -> object:  # noqa: N802
        return plugin.ValidateDataResourceConfig.Response()

    def ConfigureProvider(self, _request: object, _context: object) -> object:  # noqa: N802
        return plugin.ConfigureProvider.Response()

    def StopProvider(self, _request: object, _context: object) -> object:  # noqa: N802
        return plugin.StopProvider.Response()


@contextlib.contextmanager
def serving(schema: plugin.GetProviderSchema.Response) -> Iterator[str]:
    """Serve the schema on a socket of this machine, until the block ends.

    Yields:
        What TF_REATTACH_PROVIDERS has to be, so that Terraform installs none but asks this one.
    """
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    rpc.add_ProviderServicer_to_server(SchemaProvider(schema), server)
    with tempfile.TemporaryDirectory() as folder:
        socket = f"{folder}/provider.sock"
        server.add_insecure_port(f"unix://{socket}")
        server.start()
        try:
            yield json.dumps(
                {
                    ADDRESS: {
                        "Protocol": "grpc",
                        "ProtocolVersion": 6,
                        "Pid": os.getpid(),
                        "Test": True,
                        "Addr": {"Network": "unix", "String": socket},
                    }
                }
            )
        finally:
            server.stop(grace=None).wait()
