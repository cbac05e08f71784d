"""A proxy before a real S3 server that counts requests and breaks those it is told to."""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import urlsplit


class Request(NamedTuple):
    """What a client asked for."""

    number: int  # from 1
    method: str
    path: str
    range: str | None


class Proxy:
    """`fault(request)` answers None (pass it on), an HTTP status, "drop" (hang up) or "cut"
    (half of the body).
    """

    def __init__(self, endpoint: str):
        self.target = urlsplit(endpoint).netloc
        self.requests: list[Request] = []
        self.sent = 0
        self.lock = threading.Lock()
        self.fault: Callable[[Request], int | str | None] = lambda request: None

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        with self.lock:
            asked = (handler.command, handler.path, handler.headers.get("Range"))
            request = Request(len(self.requests) + 1, *asked)
            self.requests.append(request)
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        fault = self.fault(request)
        if fault == "drop":
            handler.close_connection = True
        elif isinstance(fault, int):
            code = {403: "AccessDenied", 503: "SlowDown"}.get(fault, "InternalError")
            answer = f"<Error><Code>{code}</Code><Message>told to</Message></Error>".encode()
            self.send(handler, fault, [("Content-Length", str(len(answer)))], answer)
        else:
            self.forward(handler, body, cut=fault == "cut")

    def forward(self, handler: BaseHTTPRequestHandler, body: bytes, cut: bool) -> None:
        connection = http.client.HTTPConnection(self.target, timeout=30)
        # with the client's Host header too, which is part of what it has signed
        connection.request(handler.command, handler.path, body, dict(handler.headers))
        answer = connection.getresponse()
        data, kept = answer.read(), ("transfer-encoding", "connection")
        headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in kept]
        if not answer.getheader("Content-Length"):
            headers.append(("Content-Length", str(len(data))))
        connection.close()
        self.send(handler, answer.status, headers, data[: len(data) // 2] if cut else data)
        handler.close_connection = cut

    def send(
        self, handler: BaseHTTPRequestHandler, status: int, headers: list, data: bytes
    ) -> None:
        handler.send_response_only(status)
        for name, value in headers:
            handler.send_header(name, value)
        handler.end_headers()
        try:
            handler.wfile.write(data)
            with self.lock:
                self.sent += len(data) if handler.command == "GET" else 0
        except (BrokenPipeError, ConnectionResetError):
            handler.close_connection = True


@contextmanager
def proxy(endpoint: str) -> Iterator[Proxy]:
    """A running proxy; its address is `.endpoint`."""
    state = Proxy(endpoint)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            self.close_connection = True
            try:
                self.raw_requestline = self.rfile.readline(65537)
            except ConnectionResetError:  # by a client that was killed, or read enough
                return
            if self.raw_requestline and self.parse_request():
                state.handle(self)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    state.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
