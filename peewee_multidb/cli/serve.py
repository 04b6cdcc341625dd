"""``multidb serve``: the status page, for this machine alone or with a token."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import click

from ..errors import ConfigurationError
from .context import App, command

__all__ = ["serve"]

VARIABLE = "MULTIDB_STATUS_TOKEN"


@command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8321, show_default=True, help="0 takes a free one."
)
@click.option(
    "--token-file",
    type=click.Path(dir_okay=False),
    help=f"A file with the token; {VARIABLE} in the environment does it too. Needed for other addresses.",
)
@click.option("--interval", type=float, default=5.0, show_default=True, help="Seconds between two questions.")
@click.option("--slow", type=float, default=0.5, show_default=True, help="Seconds that make a query slow.")
def serve(app: App, host: str, port: int, token_file: str | None, interval: float, slow: float) -> int:
    """Serve the status page: databases, lag, throughput, sizes, slow queries.

    It changes nothing. Only on a loopback address it goes without a token.
    """
    try:
        import uvicorn

        from ..web import status_app
        from ..web.guard import is_loopback
    except ImportError:
        raise ConfigurationError('serve needs uvicorn: pip install "peewee-multidb[web]"') from None
    token = _token(token_file)
    if token is None and not is_loopback(host):
        raise ConfigurationError(
            f"serve: {host!r} can be reached from other machines, and there is no token. Set {VARIABLE} or "
            "give --token-file, or serve on 127.0.0.1 and come by an SSH tunnel."
        )
    page = status_app(
        app.registry, token=token, models=app.models, live=False, interval=interval, slow=slow
    )
    # No access log: it tells nothing here that anybody needs. No trust in headers that say who asks.
    config = uvicorn.Config(
        page,
        host=host,
        port=port,
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
    )
    server = uvicorn.Server(config)
    # It listens already: whoever reads the line below may come at once.
    listener = _listener(host, port)
    shown = f"[{host}]" if ":" in host else host
    click.echo(f"Serving on http://{shown}:{listener.getsockname()[1]}/ (Ctrl-C ends it)")
    page.asker.start()
    try:
        server.run(sockets=[listener])
    finally:
        page.close()
        listener.close()
    return 0


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise ConfigurationError(
            f"serve: port {port} of {host!r} cannot be had ({os.strerror(error.errno or 0)}); --port chooses "
            "another, and --port 0 takes a free one"
        ) from None


def _token(path: str | None) -> str | None:
    if path is None:
        return os.environ.get(VARIABLE) or None
    try:
        token = Path(path).read_text().strip()
    except OSError as error:
        raise ConfigurationError(f"serve: the token file {path!r} cannot be read: {error.strerror}") from None
    if not token:
        raise ConfigurationError(f"serve: the token file {path!r} is empty")
    return token
