"""A project that does not use the plugin notices nothing of it."""

from __future__ import annotations

import pytest


def test_the_package_is_not_imported_for_projects_without_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_nothing(request):
            assert "pytest_peewee_multidb" in sys.modules
            assert not {"peewee", "peewee_multidb", "greenlet"} & set(sys.modules)
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_what_it_offers_is_listed(pytester: pytest.Pytester) -> None:
    listed = pytester.runpytest_subprocess("--fixtures", "--markers").stdout.str()
    assert "@pytest.mark.databases(*names, transaction=True" in listed
    listed = pytester.runpytest_subprocess("--fixtures").stdout.str()
    for name in ("multidb", "assert_queries", "assert_route", "capture_after_commit", "multidb_worker"):
        assert f"\n{name} " in listed, name


def test_without_the_plugin_pytest_works_all_the_same(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_nothing():\n    pass")
    pytester.runpytest_subprocess("-p", "no:multidb").assert_outcomes(passed=1)
