"""The health check of the image, against a service that answers and one that does not."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from infra.containers import ready


class Service(HTTPServer):
    """Answers every request with the status that a test sets."""

    status = 200


class Handler(BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        assert self.path == "/health/ready"
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(b"the schema is not current")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    with Service(("127.0.0.1", 0), Handler) as server:
        monkeypatch.setenv("PORT", str(server.server_port))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_service_that_can_work_is_healthy(service: Service) -> None:
    assert ready.main() == 0


def test_one_that_cannot_is_not_and_its_reason_is_passed_on(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    service.status = 503
    assert ready.main() == 1
    assert capsys.readouterr().out == "the schema is not current"


def test_one_that_does_not_answer_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORT", "1")
    assert ready.main() == 1
    assert "does not answer on port 1" in capsys.readouterr().out
