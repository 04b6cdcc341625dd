"""No command prints a password: not of a URL, an option, a file or a variable, and not in an error."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from peewee_multidb.cli.group import COMMANDS
from tests.cli.conftest import Project

SECRETS = ["Xq7-url-secret", "Xq7-key-secret", "Xq7-file-secret", "Xq7-env-secret", "Xq7-option-secret"]

SETTINGS = """
models = ["{module}.models"]
secret_key = "Xq7-key-secret-of-tokens"

[databases]
default = "sqlite:///default.db"
shard1 = "sqlite:///s1.db"
shard2 = {{ url = "mysql://root@127.0.0.1:1/x", password = "Xq7-key-secret" }}
erp = {{ url = "postgresql://app:Xq7-url-secret@127.0.0.1:1/erp", replicas = ["postgresql://b:Xq7-url-secret@127.0.0.1:1/x"] }}
archive = {{ url = "{post}", password = {{ file = "secret" }} }}
other = {{ url = "mysql://app@127.0.0.1:1/x", password = {{ env = "OTHER" }} }}
third = {{ url = "postgresql://app@127.0.0.1:1/x", options = {{ sslpassword = "Xq7-option-secret" }} }}
"""  # noqa: E501 - an inline table has to be in one line

CALLS = {
    "check": [["check"], ["check", "--debug"]],
    "status": [["status"]],
    "databases": [["databases"]],
    "models": [["models"]],
    "route": [
        ["route", "User.select()"],
        ["route", "Invoice.select()", "--db", "archive"],
        ["route", "repr(databases.entries)"],
    ],
    "shell": [
        ["shell", "-c", "print([e.settings for e in databases.entries.values()], databases)"],
        ["shell", "-c", "databases['erp'].connect()"],
        ["shell", "-c", "databases['archive'].connect()"],
        ["shell", "-c", "raise ValueError('Xq7-url-secret')"],
    ],
    "copy": [
        ["copy", "default", "archive"],
        ["copy", "erp", "default", "Invoice"],
        ["copy", "default", "third", "User"],
    ],
    "shards": [["shards"]],
    "rebalance": [["rebalance", "--resume"]],
    "completion": [["completion", "bash"]],
    # It does not end; what its page shows is for the tests of the page.
    "serve": [["serve", "--help"]],
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_no_output_of_a_command_has_a_secret(
    filled: Project, name: str, new_postgres_url: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A real server, which refuses the user.
    address = re.sub(r"//[^@/]*@", "//nobody@", new_postgres_url())
    filled.settings(SETTINGS, post=address)
    (filled.folder / "secret").write_text("Xq7-file-secret\n")
    monkeypatch.setenv("OTHER", "Xq7-env-secret")
    calls = CALLS.get(name, [[name], [name, "--help"]])
    for call in [*calls, *([*call, more] for call in calls for more in ("--json", "--debug"))]:
        result = filled(*call)
        printed = result.output
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            printed += str(result.exception)
        assert printed
        assert not [one for one in SECRETS if one in printed], (call, printed)


@pytest.mark.parametrize(
    "broken",
    [
        'erp = "postgresql//app:Xq7-url-secret@h/x"',
        'erp = { ur = "postgresql://app:Xq7-url-secret@h/x" }',
        '"postgresql://app:Xq7-url-secret@h/x" = 1',
        'erp = "postgresql://app:Xq7-url-secret@h/x',
        'erp = { url = "postgresql://app:Xq7-url-secret@h/x", pool = "Xq7-url-secret" }',
    ],
)
def test_settings_that_are_wrong_do_not_show_one_either(project: Project, broken: str) -> None:
    (project.folder / "multidb.toml").write_text(f"[databases]\n{broken}\n")
    for call in (["databases"], ["databases", "--json"]):
        result = project(*call)
        assert result.exit_code == 3
        assert "Xq7-url-secret" not in result.output


def test_a_traceback_shows_no_password_of_a_url_that_was_never_configured(project: Project) -> None:
    project.write("raise ValueError('postgresql://app:Xq7-url-secret@h/x')")
    result = project("models", "--debug")
    assert result.exit_code == 3 and "Traceback" in result.stderr
    assert "Xq7-url-secret" not in result.output
