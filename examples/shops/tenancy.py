"""Where each seller's database is: the control database knows the sellers, and a template gives the URL.

SHOPS_CONTROL    the URL of the control database          sqlite:///shops/control.db
SHOPS_TEMPLATE   the URL of a seller's, {name} in it      sqlite:///shops/shop_{name}.db
SHOPS_KEY        signs what is handed to clients and jobs
SHOPS_POOL       connections to each seller's database, at most (4)
"""

import contextlib
import os

from peewee_multidb import ConfigurationError, check_tenant_name, databases, use_tenant
from peewee_multidb.middleware import by_header, by_subdomain, first_of

from .models import SHOP, Seller

ASYNC = {"postgresql": "postgresql+asyncpg", "mysql": "mysql+aiomysql", "sqlite": "sqlite+aiosqlite"}

#: acme.shops.localhost, or the header X-Shop where there are no sub-domains.
whose = first_of(by_subdomain("shops.localhost"), by_header("X-Shop"))


def configure(asynchronous=False):
    """Make the control database known; sellers' databases become known when they are asked for."""
    url = os.environ.get("SHOPS_CONTROL", "sqlite:///shops/control.db")
    databases.configure({"control": settings(url, asynchronous, tenant=False)})
    databases.secret_key = os.environ.get("SHOPS_KEY")


def settings(url, asynchronous, tenant=True):
    engine, _, rest = url.partition("://")
    scheme = ASYNC[engine] if asynchronous else engine
    pool = {"max_connections": int(os.environ.get("SHOPS_POOL", "4")), "timeout": 30}
    return {"url": f"{scheme}://{rest}", "pool": pool, "tenant": tenant}


def url_of(name):
    template = os.environ.get("SHOPS_TEMPLATE", "sqlite:///shops/shop_{name}.db")
    return template.format(name=check_tenant_name(name))


def know(name, asynchronous=False):
    """Make a seller's database known, once it is sure that there is such a seller."""
    if name not in databases:
        if not Seller.select().where(Seller.name == name).exists():
            raise databases.unknown(name)
        add(name, asynchronous)


def add(name, asynchronous=False):
    with contextlib.suppress(ConfigurationError):  # another thread was faster
        databases.add(name, **{"url_or_database" if k == "url" else k: v
                               for k, v in settings(url_of(name), asynchronous).items()})  # fmt: skip


def select(request):
    """For the middleware: the seller that a request is for, None for no one."""
    name = whose(request)
    if name is not None:
        know(name)
    return name


async def aselect(request):
    """The same over asynchronous databases."""
    name = whose(request)
    if name is not None and name not in databases:
        await databases["control"].run(know, name, True)
    return name


def create(name, title):
    """Make a seller's database, with its tables; then make the seller known."""
    url = url_of(name)
    control = databases["control"]
    if not url.startswith("sqlite"):
        left, right = control.quote  # the name has no quotation marks: it was checked
        control.execute_sql(f"CREATE DATABASE {left}{url.rpartition('/')[2]}{right}")
    add(name)
    with use_tenant(name):
        databases.create_tables(SHOP)
    Seller.create(name=name, title=title)
