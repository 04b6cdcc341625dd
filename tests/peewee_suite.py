"""Run Peewee's own test-suite with our Model in place of Peewee's, and compare it with a stock run.

Peewee's wheel has no tests, so this needs a checkout of its repository:

    python -m tests.peewee_suite /path/to/peewee [--engine postgres ...]

Each run is a process of its own. The routed one puts `peewee_multidb.Model` where the suite's modules
look for ``Model``, and registers the suite's database as ``default``. The exit code is 1 when a test
fails there that passes with stock Peewee.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROUTED = "MULTIDB_PEEWEE_SUITE_ROUTED"


def run(checkout: Path, engine: str, routed: bool, names: list[str]) -> dict[str, list[str]]:
    """Run the suite in a process of its own and return the ids of its tests by outcome."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        env = {
            **os.environ,
            ROUTED: "1" if routed else "",
            "PEEWEE_TEST_BACKEND": engine,
            "PYTHONPATH": os.pathsep.join([str(checkout), str(Path(__file__).resolve().parent.parent)]),
        }
        child = [sys.executable, __file__, "--child", str(report), *names]
        subprocess.run(child, cwd=folder, env=env, check=True)
        outcome: dict[str, list[str]] = json.loads(report.read_text())
    return outcome


def child(report: Path, names: list[str]) -> None:
    """Load and run Peewee's suite, with our Model if the parent says so, and write what happened."""
    import unittest

    # The folder of this file holds a package called tests too; Peewee's must be found.
    sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != Path(__file__).resolve().parent]
    if os.environ[ROUTED]:
        import peewee

        import peewee_multidb

        # What playhouse makes for itself, models by reflection for instance, is as in any program.
        for name in ("dataset", "kv", "migrations", "reflection", "shortcuts", "pydantic_utils", "pwasyncio"):
            importlib.import_module(f"playhouse.{name}")
        stock = peewee.Model

        # A model of Peewee's has no database unless it says so.
        peewee_multidb.model.metadata.OPTIONS["db_name"] = None
        # The suite's models, and the bases that playhouse offers for models, are ours; Peewee's own code
        # keeps its name for the class that all of them derive from.
        peewee.Model = peewee_multidb.Model  # type: ignore[misc]
        for name in ("playhouse.signals", "playhouse.sqlite_ext"):
            importlib.reload(importlib.import_module(name))
    import tests
    import tests.base

    if os.environ[ROUTED]:
        peewee.Model = stock  # type: ignore[misc]
        peewee_multidb.databases.add("default", tests.base.db)
    loader = unittest.TestLoader()
    suite = loader.loadTestsFromNames(names) if names else loader.loadTestsFromModule(tests)
    result = unittest.TextTestRunner(verbosity=0).run(suite)
    failed = {test.id(): text for test, text in [*result.failures, *result.errors]}
    for name, text in failed.items():
        if names:
            print(name, text, sep="\n")
    skipped = [test.id() for test, _ in result.skipped]
    report.write_text(json.dumps({"failed": sorted(failed), "skipped": skipped, "ran": [result.testsRun]}))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkout", type=Path, help="a checkout of Peewee's repository")
    parser.add_argument("--engine", default="sqlite", help="as in PEEWEE_TEST_BACKEND")
    parser.add_argument("names", nargs="*", help="only these tests")
    args = parser.parse_args()
    # On a server both would use one database; an SQLite file is in each run's own folder.
    with ThreadPoolExecutor(2 if args.engine == "sqlite" else 1) as pool:
        runs = [pool.submit(run, args.checkout, args.engine, routed, args.names) for routed in (False, True)]
        stock, ours = (one.result() for one in runs)
    beyond = sorted(set(ours["failed"]) - set(stock["failed"]))
    for label, outcome in (("stock Peewee", stock), ("peewee_multidb", ours)):
        skipped, failed = len(outcome["skipped"]), len(outcome["failed"])
        print(f"{label:15} ran {outcome['ran'][0]}, skipped {skipped}, failed {failed}")
    for name in beyond:
        print("fails only with peewee_multidb:", name)
    print(f"{len(beyond)} failures beyond stock Peewee's")
    return 1 if beyond else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]), sys.argv[3:])
    else:
        sys.exit(main())
