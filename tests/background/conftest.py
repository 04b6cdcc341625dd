"""A real Redis, and tenants whose databases the jobs of several processes share."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from peewee_multidb import databases
from tests.background import jobs
from tests.conftest import NewUrl

TENANTS = ("acme", "globex", "initech")
KEY = "a key that is long enough for tests"


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Redis of the session's own, that keeps nothing on disk."""
    program = shutil.which("redis-server")
    if program is None:
        message = "no redis-server; on Debian: apt-get install redis-server"
        if os.environ.get("MULTIDB_REQUIRE_SERVERS") == "1":
            pytest.fail(f"Redis is required: {message}", pytrace=False)
        pytest.skip(message)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = str(tmp_path_factory.mktemp("redis"))
    options = [
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
        "--dir",
        folder,
    ]
    with subprocess.Popen([program, *options], stdout=subprocess.DEVNULL) as server:
        try:
            for _ in range(200):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert server.poll() is None, "redis-server ended"
                time.sleep(0.02)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()


@pytest.fixture
def tenants(
    new_postgres_url: NewUrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """Three tenants on PostgreSQL, in this process and for those that inherit its environment."""
    urls = {name: new_postgres_url() for name in TENANTS}
    settings = {
        name: {"url": url, "tenant": True, "pool": {"max_connections": 8}} for name, url in urls.items()
    }
    monkeypatch.setenv("JOBS_SETTINGS", json.dumps(settings))
    monkeypatch.setenv("JOBS_KEY", KEY)
    jobs.configure()
    for name in TENANTS:
        jobs.create_table(name)
    databases.close_all()
    yield urls
    databases.close_all()
    databases.configure({})
    databases.secret_key = None
