"""Products in a database of ours, invoices in the vendor's SQL Server, one report over both.

"shop" holds the products. "erp" plays the server of a vendor, long out of support: its tables have the names
and the types that they had in 1999, and we may read them and no more. Every line of an invoice names a
product, which is in the other database: no join can bring the two together, and prefetch does.

    python examples/legacy_mix.py                        SQLite, and the TDS server of the test-suite
    python examples/legacy_mix.py --url shop=mariadb://app@db/shop --url erp=mssql://sa@old/ERP
    python examples/legacy_mix.py --server-version 2000  what "erp" says that it is; 2008 if nothing is said

The TDS server speaks to pymssql as an SQL Server does and runs the statements on SQLite, after Microsoft's
own parser has accepted them for the version. The exit code is 0 only if everything that is checked here
holds.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import decimal
import random
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from peewee import AutoField, CharField, DateTimeField, ForeignKeyField, IntegerField, fn

from peewee_multidb import (
    ConfigurationError,
    CrossDatabaseQuery,
    Model,
    MultiDBError,
    ReadOnlyDatabase,
    database_of,
    databases,
    explain_route,
)
from peewee_multidb.config import parse_url
from peewee_multidb.drivers.mssql import MoneyField, ServerVersion, VarCharField

NAMES = ("shop", "erp")
PRODUCTS = 40
INVOICES = 200
D = decimal.Decimal


# -- The models. Nothing in the rest of this file says which engine it talks to.


class Product(Model):
    sku = CharField(12, unique=True)
    name = CharField(60)
    kind = CharField(20)

    class Meta:
        db_name = "shop"


class Vendors(Model):
    class Meta:
        db_name = "erp"
        db_pinned = True
        managed = False


class Invoice(Vendors):
    number = AutoField(column_name="INV NO")
    customer = VarCharField(40, column_name="CUST_NAME")
    issued = DateTimeField(column_name="INV_DATE")
    total = MoneyField(column_name="TOTAL")

    class Meta:
        table_name = "INVOICE HEAD"


class Line(Vendors):
    id = AutoField(column_name="LINE_ID")
    invoice = ForeignKeyField(Invoice, column_name="INV NO", backref="lines")
    product = ForeignKeyField(Product, field="sku", column_name="SKU")
    quantity = IntegerField(column_name="QTY")
    price = MoneyField(column_name="PRICE")

    class Meta:
        table_name = "INVOICE LINE"


#: What the vendor ran in 1999, word for word.
VENDORS_SCRIPT = (
    """CREATE TABLE [INVOICE HEAD] (
        [INV NO] INT IDENTITY(1, 1) NOT NULL PRIMARY KEY,
        [CUST_NAME] VARCHAR(40) NOT NULL,
        [INV_DATE] DATETIME NOT NULL,
        [TOTAL] MONEY NOT NULL)""",
    """CREATE TABLE [INVOICE LINE] (
        [LINE_ID] INT IDENTITY(1, 1) NOT NULL PRIMARY KEY,
        [INV NO] INT NOT NULL REFERENCES [INVOICE HEAD] ([INV NO]),
        [SKU] VARCHAR(12) NOT NULL,
        [QTY] INT NOT NULL,
        [PRICE] MONEY NOT NULL)""",
    "CREATE INDEX [IX_CUST] ON [INVOICE HEAD] ([CUST_NAME])",
)
VENDORS_TABLES = ("INVOICE LINE", "INVOICE HEAD")


# -- The data, the same every time.


@dataclass(frozen=True)
class Sale:
    sku: str
    quantity: int
    price: D


@dataclass
class Paper:
    """An invoice, on paper."""

    customer: str
    issued: datetime.datetime
    sales: list[Sale]

    @property
    def total(self) -> D:
        return sum((sale.price * sale.quantity for sale in self.sales), D(0))


def papers() -> tuple[list[tuple[str, str, str]], list[Paper]]:
    """Make up products (number, name, kind) and invoices."""
    dice = random.Random(1999)
    kinds = ("Bolt", "Bracket", "Cable", "Façade panel")
    products = [
        (f"{kind[0]}-{number:03}", f"{kind} no. {number}", kind)
        for number, kind in ((number, kinds[number % len(kinds)]) for number in range(PRODUCTS))
    ]
    customers = ("Müller & Söhne", "O'Brien Ltd", "100% Steel [sic]", "Ann Smith")
    invoices = []
    for number in range(INVOICES):
        sales = [
            Sale(dice.choice(products)[0], dice.randint(1, 9), D(dice.randint(100, 99999)) / 10000)
            for _ in range(dice.randint(1, 5))
        ]
        day = datetime.datetime(1999, 1, 4, 8) + datetime.timedelta(hours=17 * number)
        invoices.append(Paper(dice.choice(customers), day, sales))
    return products, invoices


# -- The checks.


@dataclass
class Checks:
    done: int = 0
    failed: list[str] = field(default_factory=list)

    def that(self, holds: bool, what: str) -> None:
        self.done += 1
        print(f"  {'ok' if holds else 'FAILED':<6}  {what}")
        if not holds:
            self.failed.append(what)


def heading(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def table(title: str, columns: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    """Draw a table with `rich`, where there is a terminal for it."""
    cells = [tuple(str(cell) for cell in row) for row in rows]
    if sys.stdout.isatty():
        with contextlib.suppress(ImportError):
            from rich.console import Console
            from rich.table import Table

            drawn = Table(*columns, title=title, title_justify="left")
            for row in cells:
                drawn.add_row(*row)
            Console().print(drawn)
            return
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    print(f"  {title}")
    for row in (columns, *cells):
        print("    " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def wrapped(error: Exception, width: int = 100) -> str:
    words, lines = f"{type(error).__name__}: {error}".split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] += f" {word}"
    return "\n".join(f"   {line}" for line in lines)


# -- The two servers.


@contextlib.contextmanager
def served(version: str) -> Iterator[str]:
    """Run the TDS server of the test-suite and give its URL."""
    root = str(Path(__file__).resolve().parent.parent)
    if root not in sys.path:
        sys.path.insert(0, root)
    try:
        from tests.tds import TDSServer
    except ImportError as error:
        raise ConfigurationError(
            f"the TDS server of the test-suite needs a clone with the test extra ({error}); or give "
            "--url erp=mssql://..."
        ) from error
    parsed = ServerVersion.parse(version)
    with contextlib.closing(TDSServer((parsed.major, parsed.minor, 0))) as server:
        yield server.url("ERP")


@contextlib.contextmanager
def configured(urls: dict[str, str], version: str) -> Iterator[None]:
    """Set up the process-wide registry; "writer" is how the vendor's own program comes to its server."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        shop = urls.get("shop") or f"sqlite:///{folder}/shop.db"
        erp = urls.get("erp") or stack.enter_context(served(version))
        databases.configure(
            {"shop": shop, "erp": {"url": erp, "read_only": True}, "writer": erp},
        )
        stack.callback(databases.configure, {})
        stack.callback(databases.close_all)
        for name, url in (("shop", shop), ("erp", erp)):
            print(f"  {name:<5} {parse_url(url)}")
        yield


def taken() -> list[str]:
    """Say which tables are there already: nothing that is not ours is touched."""
    found = [f"writer: {name}" for name in databases["writer"].get_tables() if name in VENDORS_TABLES]
    return [*found, *(["shop: product"] if Product.table_exists() else [])]


def load(products: list[tuple[str, str, str]], invoices: list[Paper]) -> None:
    Product.create_table()
    Product.insert_many(products, fields=[Product.sku, Product.name, Product.kind]).execute()
    vendor = databases["writer"]
    for statement in VENDORS_SCRIPT:
        vendor.execute_sql(statement)
    with vendor.atomic():
        for number, paper in enumerate(invoices, 1):
            Invoice.insert(customer=paper.customer, issued=paper.issued, total=paper.total).using(
                "writer"
            ).execute()
            rows = [(number, sale.sku, sale.quantity, sale.price) for sale in paper.sales]
            columns = [Line.invoice, Line.product, Line.quantity, Line.price]
            Line.insert_many(rows, fields=columns).using("writer").execute()
    print(f"  {len(products):>5} products -> shop")
    print(f"  {len(invoices):>5} invoices -> erp, by the vendor's own program")


def drop() -> None:
    for name in VENDORS_TABLES:
        databases["writer"].execute_sql(f"DROP TABLE [{name}]")
    Product.drop_table()


# -- The story.


def one_report(checks: Checks, invoices: list[Paper], names: dict[str, str]) -> None:
    heading("One report over both: invoices, their lines, and the products of the other database")
    first = datetime.datetime(1999, 3, 1)
    query = (
        Invoice.select()
        .where(Invoice.customer == "Müller & Söhne", Invoice.issued >= first)
        .order_by(Invoice.issued)
        .limit(4)
    )
    rows: list[tuple[object, ...]] = []
    seen = set()
    for invoice in query.prefetch(Line, Product):
        for line in invoice.lines:
            product = line.product
            seen.add((database_of(invoice), database_of(line), database_of(product)))
            name = f"{product.name} ({database_of(product)})"
            rows.append((invoice.number, invoice.issued.date(), name, line.quantity, line.price))
    table("Müller & Söhne, from March 1999", ("invoice", "date", "product", "pieces", "each"), rows)
    mine = [paper for paper in invoices if paper.customer == "Müller & Söhne" and paper.issued >= first][:4]
    expected = [(names[sale.sku], sale.quantity, sale.price) for paper in mine for sale in paper.sales]
    got = [(str(row[2]).removesuffix(" (shop)"), row[3], row[4]) for row in rows]
    checks.that(sorted(got) == sorted(expected), f"{len(rows)} lines, each with its product's name")
    checks.that(seen == {("erp", "erp", "shop")}, "invoices and lines from erp, products from shop")


def by_kind(checks: Checks, invoices: list[Paper], kinds: dict[str, str]) -> None:
    heading("What each kind of product brought in: summed by SQL Server, named by the shop")
    sums = (
        Line.select(Line.product, fn.SUM(Line.price * Line.quantity).alias("revenue"))
        .group_by(Line.product)
        .tuples()
    )
    revenue: dict[str, D] = defaultdict(D)
    kind_of = dict(Product.select(Product.sku, Product.kind).tuples())
    for sku, amount in sums:
        revenue[kind_of[sku]] += amount
    table("Revenue", ("kind", "revenue"), [(kind, f"{revenue[kind]:,.4f}") for kind in sorted(revenue)])
    expected: dict[str, D] = defaultdict(D)
    for paper in invoices:
        for sale in paper.sales:
            expected[kinds[sale.sku]] += sale.price * sale.quantity
    checks.that(dict(revenue) == dict(expected), "to the ten-thousandth, what plain Python counts")
    billed = Invoice.select(fn.SUM(Invoice.total)).scalar()
    checks.that(billed == sum(expected.values()), "and what the invoices say")


def pages(checks: Checks, invoices: list[Paper]) -> None:
    heading("Page by page, on a server that has no word for it")
    query = Invoice.select(Invoice.number, Invoice.customer).order_by(Invoice.issued.desc())
    page = query.paginate(3, 5)
    print(f"  {page.sql()[0]}")
    rows = [(invoice.number, invoice.customer) for invoice in page]
    table("The third page of five", ("invoice", "customer"), list(rows))
    numbered = sorted(enumerate(invoices, 1), key=lambda one: one[1].issued, reverse=True)[10:15]
    checks.that(rows == [(number, paper.customer) for number, paper in numbered], "the third page of five")
    found = Invoice.select().where(Invoice.customer.contains("% Steel [sic]")).count()
    counted = sum(paper.customer == "100% Steel [sic]" for paper in invoices)
    checks.that(found == counted > 0, f"contains('% Steel [sic]') finds {found}: no wildcard, no class")


def refusals(checks: Checks) -> None:
    heading("What is refused")
    attempts = (
        ("a join over both", lambda: list(Line.select().join(Product)), CrossDatabaseQuery),
        ("a write to the vendor's server", Line.delete().execute, ReadOnlyDatabase),
    )
    before = Line.select().count()
    for what, attempt, kind in attempts:
        try:
            attempt()
        except kind as error:
            print(wrapped(error))
            checks.that(Line.select().count() == before, f"{what}: refused, and nothing is changed")
        else:
            checks.that(False, f"{what} is refused")
    Line.drop_table()
    checks.that(Line.select().count() == before, "drop_table() leaves alone what has managed = False")


def routes() -> None:
    heading("Why a query goes where it goes: explain_route")
    for query in (Line.select(), Product.select()):
        print("  " + str(explain_route(query)).replace("\n", "\n  "))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", action="append", default=[], metavar="NAME=URL", help="of shop or erp")
    parser.add_argument("--server-version", default="2008", help="of the TDS server; 2008 by default")
    options = parser.parse_args()
    urls = dict(one.split("=", 1) for one in options.url if "=" in one)
    if len(urls) != len(options.url) or not set(urls) <= set(NAMES):
        parser.error(f"--url takes NAME=URL, each once; the names are {', '.join(NAMES)}")
    checks = Checks()
    products, invoices = papers()
    heading("Two databases")
    with configured(urls, options.server_version):
        print(f"  erp is {databases['erp'].version}")
        if there := taken():
            parser.error(f"these tables are there already: {'; '.join(there)}")
        heading("Loading")
        try:
            load(products, invoices)
            one_report(checks, invoices, {sku: name for sku, name, _ in products})
            by_kind(checks, invoices, {sku: kind for sku, _, kind in products})
            pages(checks, invoices)
            refusals(checks)
            routes()
        finally:
            drop()
    held = checks.done - len(checks.failed)
    print(f"\n{held} of {checks.done} checks hold")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MultiDBError as problem:
        sys.exit(str(problem))
