"""What does it cost to choose a replica, and how many round trips does reading one's own write take?

The choice is measured without a query: what a read passes through, over a database without replicas and
over one with two healthy ones, in pairs. Target: at most 3 microseconds more. The round trips are counted on
real servers: the statements besides the read itself, for the first read after a write and for the next ones.
Target: at most one, and none.
"""

from __future__ import annotations

import statistics
import tempfile

import measuring
import peewee
import replicating

from peewee_multidb import Databases, Model, use_replica
from peewee_multidb.model.reading import read

PAIRS = 400
WRITES = 300


def model_over(settings: object) -> type[Model]:
    class Note(Model):
        text = peewee.CharField(default="")

        class Meta:
            registry = Databases({"default": settings})

    return Note


def choice() -> dict[str, float]:
    """Return the microseconds of passing a read on, without and with replicas."""
    with tempfile.TemporaryDirectory() as folder:
        files = [f"sqlite:///{folder}/{name}.db" for name in ("a", "b", "c")]
        alone = model_over(files[0])
        # None is due for a look meanwhile; that it costs a query of its own now and then is not the choice.
        many = model_over(
            {"url": files[0], "replicas": files[1:], "replication": {"check_interval": 3600}}
        )
        for model in (alone, many):
            for _ in range(4):
                model.raw("SELECT 1").execute()

        def nothing(server: object) -> None:
            return None

        def reading(model: type[Model]) -> object:
            query = model.select()
            database = model._meta.registry["default"]  # type: ignore[attr-defined]
            return lambda: read(query, database, nothing)

        found = measuring.in_pairs(reading(alone), reading(many), pairs=PAIRS)  # type: ignore[arg-type]
        differences = [b - a for a, b in zip(found.stock, found.routed, strict=True)]
        for model in (alone, many):
            model._meta.registry.close_all()  # type: ignore[attr-defined]
    return {
        "without": statistics.median(found.stock),
        "with": statistics.median(found.routed),
        "more": statistics.median(differences),
    }


def round_trips(engine: str, cluster: object) -> dict[str, float]:
    """Return how many statements besides the read itself the reads after a write took, on average."""
    site = replicating.Site(cluster, replicating.fresh(cluster, 1), check_interval=3600)
    log: list[str] = []
    entry = site.registry.entries["default"]
    waits = {"together": 0}
    for server in entry.servers():
        server.database.query_hooks.append(lambda event: log.append(event.sql))
    note = site.Note
    note.create(thread=0)
    with use_replica():
        for _ in range(3):
            note.select().count()
    first, next_ones, again = [], [], 0
    for number in range(WRITES):
        row = note.create(thread=number)
        cluster.wait_in_step()  # type: ignore[attr-defined]
        for extra in (first, next_ones):
            log.clear()
            assert note.get_by_id(row.id).thread == number
            asked = [sql for sql in log if "note" not in sql]
            # A question that travels with the read is no round trip of its own.
            together = [sql for sql in asked if "transaction_isolation" in sql]
            waits["together"] += len(together)
            extra.append(len(asked) - len(together))
            again += sum("note" in sql for sql in log) - 1
    site.close()
    return {
        "first": statistics.mean(first),
        "next": statistics.mean(next_ones),
        "most_first": max(first),
        "most_next": max(next_ones),
        "together": waits["together"],
        "read_twice": again,
    }


def main() -> None:
    chosen = choice()
    numbers: dict[str, object] = {"choice": chosen}
    rows = []
    for engine in replicating.CLUSTERS:
        with replicating.running(engine) as cluster:
            found = numbers[engine] = round_trips(engine, cluster)
        rows.append([engine, f"{found['first']:.2f}", found["most_first"], f"{found['next']:.2f}"])
    most = max(float(numbers[engine]["most_first"]) for engine in replicating.CLUSTERS)  # type: ignore[index]
    later = max(float(numbers[engine]["most_next"]) for engine in replicating.CLUSTERS)  # type: ignore[index]
    lines = [
        f"Passing a read on takes {chosen['without']:.2f} microseconds without replicas and "
        f"{chosen['with']:.2f} with two: {chosen['more']:.2f} more (target: 3, "
        f"{'met' if chosen['more'] <= 3 else 'MISSED'}).",
        measuring.table(["round trips more", "first read", "at most", "next reads"], rows),
        f"The first read after a write takes at most {most:g} more (target: 1, "
        f"{'met' if most <= 1 else 'MISSED'}), the next ones {later:g} (target: 0, "
        f"{'met' if later == 0 else 'MISSED'}).",
    ]
    measuring.report("replica_choice", "Choosing a replica", lines, numbers)


if __name__ == "__main__":
    main()
