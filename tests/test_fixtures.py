"""The suite's own fixtures hand out databases of the session's servers, each one once."""

from __future__ import annotations

from collections.abc import Callable


def test_each_url_is_another_database(
    new_postgres_url: Callable[[], str],
    new_mariadb_url: Callable[[], str],
    postgres_urls: Callable[[int], list[str]],
    mariadb_urls: Callable[[int], list[str]],
) -> None:
    urls = [new_postgres_url(), new_postgres_url(), *postgres_urls(2)]
    urls += [new_mariadb_url(), new_mariadb_url(), *mariadb_urls(2)]
    assert len(set(urls)) == 8
