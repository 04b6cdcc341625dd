"""How much work a test does follows the environment."""

from __future__ import annotations

import pytest

from tests.scale import scaled


def test_scaled_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MULTIDB_SOAK_FACTOR", raising=False)
    assert scaled(7) == 7
    monkeypatch.setenv("MULTIDB_SOAK_FACTOR", "20")
    assert scaled(7) == 140
    monkeypatch.setenv("MULTIDB_SOAK_FACTOR", "0.01")
    assert scaled(7) == 1
