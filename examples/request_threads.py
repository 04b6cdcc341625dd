"""A web application with a thread pool: each request selects the database of its customer.

The scope belongs to the thread that entered it. Work that a request hands to another thread does not
inherit it, unless the function goes through `propagate`.
"""

import tempfile
from concurrent.futures import ThreadPoolExecutor

from peewee import CharField

from peewee_multidb import Model, NoDatabaseSelected, databases, propagate, use_db

CUSTOMERS = ("acme", "globex", "initech")


class Note(Model):
    text = CharField()

    class Meta:
        db_name = None  # no home: a query outside every scope is refused, not sent somewhere


def add_note(text):
    """Part of the application: it knows nothing of customers."""
    with Note._meta.database.connection_context():
        Note.create(text=text)


def handle_request(customer, text, background):
    """What a middleware would do: select the database, then call the application."""
    with use_db(customer):
        background.submit(propagate(add_note), text).result()


with tempfile.TemporaryDirectory() as folder:
    databases.configure({name: f"sqlite:///{folder}/{name}.db" for name in CUSTOMERS})
    for name in CUSTOMERS:
        with use_db(name):
            Note.create_table()

    with ThreadPoolExecutor(4) as web, ThreadPoolExecutor(4) as background:
        requests = [
            web.submit(handle_request, customer, f"for {customer}", background) for customer in CUSTOMERS * 10
        ]
        for request in requests:
            request.result()

    for name in CUSTOMERS:
        with use_db(name):
            texts = {note.text for note in Note.select()}
            print(f"{name}: {Note.select().count()} notes, all {texts.pop()!r}: {not texts}")
    try:
        Note.create(text="for nobody")
    except NoDatabaseSelected as error:
        print(f"outside every request: {error}")
    databases.close_all()
