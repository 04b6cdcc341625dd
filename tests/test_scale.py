"""How much work a test does follows the environment."""

from __future__ import annotations

import pytest

from tests.scale import scaled, sized


def test_scaled_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MULTIDB_SOAK_FACTOR", raising=False)
    assert scaled(7) == 7
    monkeypatch.setenv("MULTIDB_SOAK_FACTOR", "20")
    assert scaled(7) == 140
    monkeypatch.setenv("MULTIDB_SOAK_FACTOR", "0.01")
    assert scaled(7) == 1


def test_the_slowest_tests_do_their_whole_work_under_soak_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULTIDB_SOAK_FACTOR", "20")
    monkeypatch.delenv("MULTIDB_SOAK", raising=False)
    assert sized(2, thorough=3) == 2
    monkeypatch.setenv("MULTIDB_SOAK", "1")
    assert sized(2, thorough=3) == 60
