"""One set of models, two databases."""

import tempfile

from peewee import CharField

from peewee_multidb import Model, database_of, databases, use_db


class User(Model):  # no db_name in its Meta: it lives in "default"
    name = CharField()


with tempfile.TemporaryDirectory() as folder:
    databases.configure({name: f"sqlite:///{folder}/{name}.db" for name in ("default", "archive")})
    for name in databases:
        with use_db(name):
            User.create_table()

    User.create(name="Ann")
    with use_db("archive"):
        bob = User.create(name="Bob")

    print("default:", [user.name for user in User.select()])
    print("archive:", [user.name for user in User.select().using("archive")])
    bob.name = "Robert"
    bob.save()  # outside the block: a row stays where it lives
    print(bob.name, "lives in", database_of(bob))
    databases.close_all()
