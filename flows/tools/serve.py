"""A registered model that answers HTTP on this machine: images in base64 in, classes out as JSON.

curl http://127.0.0.1:5002/invocations -H 'Content-Type: application/json'
     -d '{"inputs": ["<base64>"], "params": {"top": 3}}'

It is MLflow's scoring server (/invocations, /ping, /health, /version) behind
flows/serving/guard.py: what is too large, no image or hostile is refused with 4xx and a sentence.
"""

import argparse
from typing import Any

from flows.cli.command import parser, user_errors
from flows.tools.prefectserver import bound, guarded, port

CONNECTIONS = 64  # beyond them: 503


def application(uri: str) -> Any:
    """The ASGI application of a model; ValueError when there is none that can be served."""
    from mlflow.pyfunc import scoring_server

    from flows.registry.loading import load_function
    from flows.serving.guard import Guard

    return guarded(Guard(scoring_server.init(load_function(uri))))


def serve(model: str | None, number: int) -> None:
    """Serve until Ctrl-C."""
    from flows.predicting.weights import champion_address

    uri = model or champion_address()
    listener = bound(number, f"python -m flows.serve --port {number + 1}")
    app = application(uri)

    import uvicorn

    print(f"{uri}: http://127.0.0.1:{number}/invocations", flush=True)
    limits = {"limit_concurrency": CONNECTIONS, "timeout_keep_alive": 5}
    config = uvicorn.Config(app, log_level="warning", server_header=False, **limits)
    server = uvicorn.Server(config)
    server.run(sockets=[listener])
    if not server.started:  # it has said why
        raise SystemExit(1)


def main(arguments: list[str] | None = None) -> None:
    """Command line of the server."""
    command: argparse.ArgumentParser = parser("serve", __doc__)
    what = "models:/NAME@ALIAS or models:/NAME/VERSION (default: the champion)"
    command.add_argument("--model", metavar="MODEL", help=what)
    command.add_argument("--port", type=port, default=5002, help="default 5002")
    given = command.parse_args(arguments)
    with user_errors():
        serve(given.model, given.port)


if __name__ == "__main__":
    main()
