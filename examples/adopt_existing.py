"""An application that is written already: `adopt` its base model, and go on as before."""

import tempfile

from peewee import CharField, ForeignKeyField, Model, SqliteDatabase

from peewee_multidb import adopt, database_of, databases, use_db

folder = tempfile.TemporaryDirectory()


# models.py of the application, as it was and as it stays.

main = SqliteDatabase(f"{folder.name}/main.db")


class BaseModel(Model):
    class Meta:
        database = main


class Author(BaseModel):
    name = CharField()


class Book(BaseModel):
    author = ForeignKeyField(Author, backref="books")
    title = CharField()


main.create_tables([Author, Book])
Author.create(name="Huxley")

# The new part: one call for the whole hierarchy, and a registry that knows the database it had.

adopt(BaseModel, db_name="default")
databases.configure({"default": main, "archive": f"sqlite:///{folder.name}/archive.db"})

with use_db("archive"):
    databases.create_tables([Author, Book])
    orwell = Author.create(name="Orwell")

Book.create(author=Author.get(name="Huxley"), title="Island")
with use_db("archive"):
    Book.create(author=orwell, title="1984")

for name in databases:
    with use_db(name):
        for book in Book.select().join(Author):
            print(f"{book.title} by {book.author.name}, from {database_of(book)}")
print("books of Orwell, outside the block:", [book.title for book in orwell.books])

databases.close_all()
folder.cleanup()
