"""A shop with one primary and two copies that are always late: who reads what, and from where.

The copies are files that `copy_files` brings up to date, as a nightly job would. With real servers only the
urls change: docs/replicas.md.
"""

import shutil
import tempfile
import threading
from pathlib import Path

from peewee import CharField

from peewee_multidb import Model, databases, explain_route, unit_of_work, use_primary, use_replica


class Product(Model):
    name = CharField()


def names():
    return sorted(product.name for product in Product.select())


def visitor(said):
    """Somebody who has written nothing, in a thread of his own."""
    with unit_of_work():
        said.append(names())
    databases.close()


def ask_a_visitor():
    said = []
    thread = threading.Thread(target=visitor, args=(said,))
    thread.start()
    thread.join()
    return said[0]


def copy_files(folder):
    for number in (1, 2):
        shutil.copy(folder / "shop.db", folder / f"copy{number}.db")


with tempfile.TemporaryDirectory() as temporary:
    folder = Path(temporary)
    databases.configure({
        "default": {
            "url": f"sqlite:///{folder}/shop.db",
            "replicas": [f"sqlite:///{folder}/copy1.db", f"sqlite:///{folder}/copy2.db"],
            # A file has no position in a log: whoever writes reads from the primary for so many seconds.
            "replication": {"window": 3600},
        },
    })
    Product.create_table()
    Product.create(name="lamp")
    copy_files(folder)

    Product.create(name="chair")
    print(f"who wrote it sees it:   {names()}")
    print(f"a visitor does not yet: {ask_a_visitor()}")
    copy_files(folder)
    print(f"after the next copy:    {ask_a_visitor()}")

    with use_replica():
        try:
            Product.create(name="sofa")
        except Exception as error:
            print(f"{type(error).__name__}: {error}")
    with use_primary():
        print(explain_route(Product.select()))
    databases.close_all()
