"""Rule 12 in full: Peewee's own suite gives the same result when its models are ours."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests import peewee_suite

CHECKOUT = os.environ.get("MULTIDB_PEEWEE_CHECKOUT")


@pytest.mark.timeout(1800)
@pytest.mark.skipif(not CHECKOUT, reason="MULTIDB_PEEWEE_CHECKOUT names no checkout of Peewee's repository")
def test_rule_12_peewees_own_suite_gives_the_same_result() -> None:
    done = subprocess.run([sys.executable, peewee_suite.__file__, CHECKOUT], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    assert "0 failures beyond stock Peewee's" in done.stdout
