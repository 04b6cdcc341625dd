"""Three models in three databases of the process-wide registry; the fixtures say which engines these are."""

from __future__ import annotations

from typing import Any

from peewee import IntegerField

from peewee_multidb import Model


class Lite(Model):
    n = IntegerField()

    class Meta:
        db_name = "lite"


class Post(Model):
    n = IntegerField()

    class Meta:
        db_name = "post"


class Maria(Model):
    n = IntegerField()

    class Meta:
        db_name = "maria"


MODELS = [Lite, Post, Maria]


def counts(*models: Any) -> list[int]:
    return [model.select().count() for model in models or MODELS]


async def acounts() -> list[int]:
    return [await model._meta.database.count(model.select()) for model in MODELS]
