"""An existing application's models, as `adopt` finds them: plain Peewee, and nothing of this package."""

from __future__ import annotations

from typing import Any

import peewee
from playhouse import signals

database = peewee.DatabaseProxy()


class Meta(peewee.ModelBase):
    """A metaclass of the application's own."""

    def __new__(cls, name: str, bases: Any, attrs: dict[str, Any], **kwargs: Any) -> Any:
        made = super().__new__(cls, name, bases, attrs, **kwargs)
        made.label = name.lower()
        return made


class Loud(Meta):
    """A metaclass of one model only."""

    def __new__(cls, name: str, bases: Any, attrs: dict[str, Any], **kwargs: Any) -> Any:
        made = super().__new__(cls, name, bases, attrs, **kwargs)
        made.loud = name.upper()
        return made


class Base(signals.Model, metaclass=Meta):
    class Meta:
        database = database


class Named(Base):
    """An abstract step of the hierarchy."""

    name = peewee.CharField()

    def shout(self) -> str:
        return self.name.upper()


class Person(Named):
    boss = peewee.ForeignKeyField("self", null=True, backref="staff")
    data = peewee.JSONField(null=True)
    photo = peewee.BlobField(null=True)
    born = peewee.DateField(null=True)


class Group(Named):
    members = peewee.ManyToManyField(Person, backref="groups")


class Letter(Base):
    sender = peewee.ForeignKeyField(Person, backref="sent")
    receiver = peewee.ForeignKeyField(Person, backref="received")
    text = peewee.TextField()

    @property
    def short(self) -> str:
        return self.text[:3]


class Pair(Base, metaclass=Loud):
    left = peewee.IntegerField()
    right = peewee.IntegerField()

    class Meta:
        primary_key = peewee.CompositeKey("left", "right")


Membership = Group.members.get_through_model()

TABLES = (Person, Group, Membership, Letter, Pair)
