"""Charts: every value inside, gaps where there was none, and numbers as text."""

from __future__ import annotations

import math
import re

from hypothesis import given
from hypothesis import strategies as st

from peewee_multidb.web.charts import HEIGHT, WIDTH, line_chart, nice_ceiling

values = st.lists(st.none() | st.floats(0, 1e12) | st.just(math.inf), max_size=40)


@given(st.floats(1e-9, 1e15))
def test_the_scale_ends_at_a_round_number_that_is_not_too_far(value: float) -> None:
    top = nice_ceiling(value)
    assert value * 0.999 <= top <= value * 5.01
    assert f"{top:e}"[0] in "125" or f"{top:.0e}"[0] in "125"


@given(st.dictionaries(st.text(max_size=8), values, max_size=12))
def test_every_point_is_inside_the_chart(series: dict[str, list[float | None]]) -> None:
    html = line_chart("Rates", series, unit="q/s", seconds=5)
    for points in re.findall(r'points="([^"]*)"', html):
        for pair in points.split():
            x, y = map(float, pair.split(","))
            assert -0.1 <= x <= WIDTH + 0.1 and 0 <= y <= HEIGHT
    assert len(set(re.findall(r'class="line (c\d)"', html))) <= 8


def test_a_gap_splits_a_line_and_a_stopped_replica_is_called_so() -> None:
    html = line_chart("Lag", {"one": [1.0, 2.0, None, 3.0], "two": [math.inf]}, unit="s", seconds=5)
    lines = re.findall(r'<polyline points="([^"]*)" class="line c0"', html)
    assert len(lines) == 2 and "stopped" in html and 'role="img"' in html
    assert "Nothing to show yet" in line_chart("Lag", {"one": [None]}, unit="s", seconds=5)
