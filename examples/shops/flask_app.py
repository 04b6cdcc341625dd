"""The shop on Flask: each request in the database of its seller.

waitress-serve --call shops.flask_app:create_app
gunicorn -k gthread --threads 16 "shops.flask_app:create_app()"
gunicorn -k gevent "shops.flask_app:create_app()"
"""

import flask

from peewee_multidb import current_tenant
from peewee_multidb.background import ScopedExecutor
from peewee_multidb.middleware.flask import MultiDB

from . import service, tenancy


def create_app():
    tenancy.configure()
    app = flask.Flask(__name__)
    MultiDB(app, select=tenancy.select, required=True)
    # Threads that run where the request is: in the seller's database, and locked to it.
    background = ScopedExecutor(2, thread_name_prefix="shop")

    @app.get("/products")
    def products():
        return {"shop": current_tenant(), "products": service.products()}

    @app.post("/products")
    def add_product():
        return {"shop": current_tenant(), "id": service.add_product(**flask.request.get_json())}, 201

    @app.get("/orders")
    def orders():
        found = service.orders(flask.request.args.get("customer"))
        return {"shop": current_tenant(), "orders": found}

    @app.post("/orders")
    def place_order():
        order = service.place_order(**flask.request.get_json())
        background.submit(service.confirm, order)
        return {"shop": current_tenant(), "id": order}, 201

    @app.get("/orders.csv")
    def export():
        def pages():
            after = 0
            while rows := service.orders(after=after, limit=100):
                yield service.as_csv(rows)
                after = rows[-1]["id"]

        return flask.Response(pages(), mimetype="text/csv")

    @app.errorhandler(service.SoldOut)
    def sold_out(error):
        return {"shop": current_tenant(), "error": "sold out"}, 409

    @app.errorhandler(service.CardDeclined)
    def declined(error):
        return {"shop": current_tenant(), "error": "card declined"}, 402

    return app
