"""The command line: python -m shops.manage create acme "Acme Ltd." """

import os
from pathlib import Path

import click

from peewee_multidb import InvalidTenant, databases
from peewee_multidb.background import management_command

from . import tenancy
from .models import Product, Seller


def sellers():
    """Every seller there is."""
    return [seller.name for seller in Seller.select().order_by(Seller.name)]


@click.group()
def cli():
    """Shops for many sellers."""
    if "SHOPS_CONTROL" not in os.environ:
        Path("shops").mkdir(exist_ok=True)
    tenancy.configure()
    Seller.create_table()


@cli.command()
@click.argument("name")
@click.argument("title")
def create(name, title):
    """Make a seller and a database for the shop."""
    if name in sellers():
        raise click.ClickException(f"{name} has a shop already.")
    try:
        tenancy.create(name, title)
    except InvalidTenant as error:
        raise click.BadParameter(str(error)) from error
    click.echo(f"{name} has a shop.")


@cli.command("list")
def list_sellers():
    """Name every seller."""
    for seller in Seller.select().order_by(Seller.name):
        click.echo(f"{seller.name}\t{seller.title}")


@cli.command()
@click.argument("product")
@click.argument("quantity", type=int)
@management_command(names=sellers)
def restock(product, quantity):
    """Add to the stock of a product, at one seller or at all."""
    return Product.update(stock=Product.stock + quantity).where(Product.name == product).execute()


if __name__ == "__main__":
    try:
        cli(prog_name="shops.manage")
    finally:
        databases.close_all()
