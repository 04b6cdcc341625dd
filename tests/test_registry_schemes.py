"""A URL whose scheme no driver has is refused when it is configured, by the name of its database."""

from __future__ import annotations

from typing import Any

import pytest

from peewee_multidb import ConfigurationError, Databases

WRONG: dict[str, dict[str, Any]] = {
    "url": {"erp": "postgre://app@db1/app"},
    "replica": {"erp": {"url": "postgresql://app@db1/app", "replicas": ["mirror", "postgre://app@db2/app"]}},
}


@pytest.mark.parametrize("settings", WRONG.values(), ids=WRONG)
def test_an_unknown_scheme_is_refused_with_the_name_of_the_database(settings: dict[str, Any]) -> None:
    registry = Databases({"default": "sqlite:///app.db"})
    with pytest.raises(
        ConfigurationError, match="database 'erp': unknown URL scheme 'postgre'; did you mean"
    ):
        registry.configure(settings)
    assert registry.names == ("default",)


def test_add_refuses_an_unknown_scheme_too() -> None:
    registry = Databases()
    with pytest.raises(ConfigurationError, match="database 'erp': unknown URL scheme 'postgre'"):
        registry.add("erp", "postgre://app@db1/app")
    assert registry.names == ()
