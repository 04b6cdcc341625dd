"""The tables: one in the control database, the others in each seller's own."""

from peewee import (
    SQL,
    BooleanField,
    CharField,
    Check,
    DateTimeField,
    ForeignKeyField,
    IntegerField,
    TextField,
)

from peewee_multidb import Model


class Seller(Model):
    """Who has a shop, and so a database."""

    name = CharField(unique=True, max_length=40)
    title = CharField()

    class Meta:
        db_name = "control"
        db_pinned = True  # a seller's request does not move it into the seller's database


class ShopModel(Model):
    class Meta:
        db_name = None  # nowhere, unless a request, a job or a command is of a seller


class Product(ShopModel):
    name = CharField()
    price = IntegerField()  # cents
    stock = IntegerField(constraints=[Check("stock >= 0")])


class Order(ShopModel):
    customer = CharField(index=True)
    product = ForeignKeyField(Product, backref="orders")
    quantity = IntegerField()
    total = IntegerField()
    confirmed = BooleanField(default=False)
    at = DateTimeField(constraints=[SQL("DEFAULT CURRENT_TIMESTAMP")], null=True)

    class Meta:
        table_name = "orders"


class Mail(ShopModel):
    order = ForeignKeyField(Order, backref="mails")
    text = TextField()


SHOP = [Product, Order, Mail]
