"""Prefect's server and UI, for this user on this machine only: `make prefect`.

Whoever may speak to a Prefect server may run code where its workers are, and by itself the server
listens to every web page that the user has open. Three walls stand before it here:
the Host header must name this machine (another name is DNS rebinding), a request of a web page
must come from the server's own pages, and all of the API but /health asks for an auth string.
"""

import argparse
import errno
import os
import secrets
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from flows.cli.command import user_errors
from flows.running.postgresql import check_address
from flows.running.prefectauth import LOOPBACK, prefect_profile, profiles_path, write_profile

App = Callable[[dict[str, Any], Callable[..., Awaitable], Callable[..., Awaitable]], Awaitable]


def refusal(host: str, origin: str | None) -> str:
    """Why a request with these headers is not for us; empty if it is."""
    if host.rpartition(":")[0] not in LOOPBACK and host not in LOOPBACK:
        return "this server answers under the names 127.0.0.1 and localhost only"
    if origin is not None and origin != f"http://{host}":
        return "this server answers no pages of other origins"
    return ""


def guarded(app: App) -> App:
    """An ASGI application that hands to `app` what comes from this machine and its own pages.

    Anything else is answered with 403; that is also how the handshake of a web socket is refused,
    to which CORS does not apply.
    """
    from starlette.datastructures import Headers
    from starlette.responses import PlainTextResponse

    async def guard(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            headers = Headers(scope=scope)
            why = refusal(headers.get("host", ""), headers.get("origin"))
            if why:
                await PlainTextResponse(why + "\n", 403)(scope, receive, send)
                return
        await app(scope, receive, send)

    return guard


def port(text: str) -> int:
    """A port that a command line names."""
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give a number from 1 to 65535")
    return int(text)


def bound(port: int, other: str = "make prefect PREFECT_PORT=4201") -> socket.socket:
    """A socket on 127.0.0.1; ValueError if somebody else has the port, with the command for
    another.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EACCES:
            raise ValueError(f"port {port} is one of root's: take another: {other}") from None
        raise ValueError(
            f"port {port} is taken: end what uses it, or take another: {other}"
        ) from None
    return listener


def environment(port: int, auth: str) -> dict[str, str]:
    """Prefect's settings for the server, as environment variables."""
    return {
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_API_AUTH_STRING": auth,
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://127.0.0.1:{port}",
        # relative, so that the pages work under both names, and through a forwarded port
        "PREFECT_UI_API_URL": "/api",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",  # of a service in the cloud
        # written beside the data base: the environment may be shared or read-only
        "PREFECT_UI_STATIC_DIRECTORY": str(profiles_path().parent / "ui"),
    }


def serve(port: int) -> None:
    """Serve until Ctrl-C; the auth string is made at the first start and stays the same."""
    base = os.environ.get("PREFECT_API_DATABASE_CONNECTION_URL", "")
    check_address(base, "PREFECT_API_DATABASE_CONNECTION_URL")
    listener = bound(port)
    ours = prefect_profile().get("PREFECT_API_AUTH_STRING")
    auth = os.environ.get("PREFECT_SERVER_API_AUTH_STRING") or ours or secrets.token_urlsafe(24)
    os.environ.update(environment(port, auth))  # Prefect reads it once, when it is imported
    os.environ.pop("PREFECT_API_URL", None)  # the server asks itself, not what a client asks
    url = f"http://127.0.0.1:{port}"
    write_profile(f"{url}/api", auth)

    import uvicorn
    from prefect.server.api.server import create_app

    print(
        f"Prefect: {url}\nThe page asks once for PREFECT_API_AUTH_STRING, which is in\n"
        f"{profiles_path()}; commands find it by themselves:\n"
        f"PREFECT_API_URL={url}/api python -m flows.pipeline\n"
        "prefect --profile tagdag deployment run pipeline/tagdag",
        flush=True,
    )
    config = uvicorn.Config(guarded(create_app(final=True)), log_level="warning")
    server = uvicorn.Server(config)
    server.run(sockets=[listener])
    if not server.started:  # it has said why
        raise SystemExit(1)


def main() -> None:
    """Command line of the server."""
    parser = argparse.ArgumentParser(prog="python -m flows.prefectserver", description=__doc__)
    parser.add_argument("--port", type=port, default=4200, help="default 4200")
    options = parser.parse_args()
    with user_errors():
        serve(options.port)


if __name__ == "__main__":
    main()
