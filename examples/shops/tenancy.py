"""Where each seller's database is: the control database knows the sellers, and a template gives the URL.

SHOPS_CONTROL    the URL of the control database          sqlite:///shops/control.db
SHOPS_TEMPLATE   the URL of a seller's, {name} in it      sqlite:///shops/shop_{name}.db
SHOPS_KEY        signs what is handed to clients and jobs
SHOPS_POOL       connections to each seller's database, at most (4)
"""

import os

from peewee_multidb import TableResolver, check_tenant_name, databases, use_tenant
from peewee_multidb.middleware import by_header, by_subdomain, first_of

from .models import SHOP, Seller

ASYNC = {"postgresql": "postgresql+asyncpg", "mysql": "mysql+aiomysql", "sqlite": "sqlite+aiosqlite"}

#: For the middleware: acme.shops.localhost, or the header X-Shop where there are no sub-domains.
select = first_of(by_subdomain("shops.localhost"), by_header("X-Shop"))


def configure(asynchronous=False):
    """Make the control database known, and how to find a seller's when it is asked for."""

    def settings(url):
        engine, _, rest = url.partition("://")
        scheme = ASYNC[engine] if asynchronous else engine
        pool = {"max_connections": int(os.environ.get("SHOPS_POOL", "4")), "timeout": 30}
        return {"url": f"{scheme}://{rest}", "pool": pool}

    databases.configure({"control": settings(os.environ.get("SHOPS_CONTROL", "sqlite:///shops/control.db"))})
    databases.resolver = TableResolver(Seller, settings=lambda seller: settings(url_of(seller.name)))
    databases.secret_key = os.environ.get("SHOPS_KEY")


def url_of(name):
    template = os.environ.get("SHOPS_TEMPLATE", "sqlite:///shops/shop_{name}.db")
    return template.format(name=check_tenant_name(name))


def create(name, title):
    """Make a seller's database, with its tables, and the seller, whom others see when all of it is there."""
    url = url_of(name)
    control = databases["control"]
    if not url.startswith("sqlite"):
        left, right = control.quote  # the name has no quotation marks: it was checked
        control.execute_sql(f"CREATE DATABASE {left}{url.rpartition('/')[2]}{right}")
    with control.atomic():
        Seller.create(name=name, title=title)
        databases.forget(name)  # that there was no such seller
        with use_tenant(name):
            databases.create_tables(SHOP)
