"""What a shop does. It is written as if there were one shop, and runs in the database of the current one."""

from peewee_multidb import atomic, current_tenant

from .models import Mail, Order, Product


class SoldOut(Exception):
    """There are not so many of it."""


class CardDeclined(Exception):
    """The bank says no."""


def products():
    found = Product.select().order_by(Product.id)
    return [{"id": p.id, "name": p.name, "price": p.price, "stock": p.stock} for p in found]


def add_product(name, price, stock):
    return Product.create(name=name, price=price, stock=stock).id


def place_order(customer, product, quantity, card):
    """Take it from the stock, write the order and charge the card: all of it or nothing."""
    with atomic(Order):
        taken = (
            Product.update(stock=Product.stock - quantity)
            .where(Product.id == product, Product.stock >= quantity)
            .execute()
        )
        if not taken:
            raise SoldOut
        total = Product.get_by_id(product).price * quantity
        order = Order.create(customer=customer, product=product, quantity=quantity, total=total)
        charge(card, total)
    return order.id


def charge(card, cents):
    """Stands for a payment provider."""
    if card == "declined":
        raise CardDeclined
    if card == "unreachable":
        raise ConnectionError("the payment provider does not answer")


def confirm(order):
    """The background job: write to the customer."""
    with atomic(Order):
        Order.update(confirmed=True).where(Order.id == order).execute()
        Mail.create(order=order, text=f"Thank you for order {order} at {current_tenant()}.")


def orders(customer=None, after=0, limit=20):
    found = Order.select().where(Order.id > after).order_by(Order.id).limit(limit)
    if customer is not None:
        found = found.where(Order.customer == customer)
    return [
        {
            "id": o.id,
            "customer": o.customer,
            "product": o.product_id,
            "total": o.total,
            "confirmed": o.confirmed,
        }
        for o in found
    ]


def as_csv(rows):
    return "".join(f"{row['id']},{row['customer']},{row['total']},{current_tenant()}\n" for row in rows)
