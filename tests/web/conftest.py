"""A shop with awkward names, the page of it served by uvicorn, and headless Chromium to look at it."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from selenium import webdriver
from selenium.common.exceptions import WebDriverException

from peewee_multidb.web import StatusApp, status_app
from tests.observe.conftest import Shop

#: What starts Chromium where there is no display, no sandbox for root and no network.
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--hide-scrollbars"),
)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """The shop of the tests of observing, on three SQLite files."""
    made = Shop({name: f"sqlite:///{tmp_path}/{name}.db" for name in ("default", "s1", "s2")})
    made.create_tables()
    yield made
    made.registry.close_all()


@contextmanager
def served(app: Any, host: str = "127.0.0.1") -> Iterator[int]:
    """Serve an application in a thread; gives the port."""
    listener = socket.socket()
    listener.bind((host, 0))
    listener.listen()
    config = uvicorn.Config(app, access_log=False, log_level="error", lifespan="off", proxy_headers=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture
def opened() -> Iterator[Callable[..., StatusApp]]:
    """Call it as `status_app`; what it made is closed after the test."""
    made: list[StatusApp] = []

    def new(*args: Any, **options: Any) -> StatusApp:
        made.append(status_app(*args, **options))
        return made[-1]

    yield new
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """Headless Chromium from Debian; started once for all tests."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    reason = "" if browser and driver else "no chromium and chromedriver; `make chromium` installs them"
    if not reason:
        options = webdriver.ChromeOptions()
        options.binary_location = str(browser)
        for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        try:
            started = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(driver)))
        except WebDriverException as error:
            reason = f"chromium does not start: {error.msg}"
    if reason and os.environ.get("MULTIDB_REQUIRE_SERVERS") == "1":
        pytest.fail(reason, pytrace=False)
    if reason:
        pytest.skip(reason)
    yield started
    started.quit()


def look_as(
    chromium: webdriver.Chrome, *, width: int, dark: bool = False, scripts: bool = True, height: int = 900
) -> None:
    """Make the browser a phone or a desk, at day or at night."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not scripts})
