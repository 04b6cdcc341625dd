"""The shop on FastAPI with asynchronous databases: each request in the database of its seller.

uvicorn --factory shops.fastapi_app:create_app
"""

from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel

from peewee_multidb import databases
from peewee_multidb.middleware import MultiDBMiddleware
from peewee_multidb.middleware.fastapi import Tenant

from . import service, tenancy


class NewProduct(BaseModel):
    name: str
    price: int
    stock: int


class NewOrder(BaseModel):
    customer: str
    product: int
    quantity: int = 1
    card: str


def create_app():
    tenancy.configure(asynchronous=True)
    app = FastAPI()
    app.add_middleware(MultiDBMiddleware, select=tenancy.select, required=True)

    @app.get("/products")
    async def products(shop: Tenant):
        return {"shop": shop, "products": await databases[shop].run(service.products)}

    @app.post("/products", status_code=201)
    async def add_product(shop: Tenant, new: NewProduct):
        return {"shop": shop, "id": await databases[shop].run(service.add_product, **new.model_dump())}

    @app.get("/orders")
    async def orders(shop: Tenant, customer: str | None = None):
        return {"shop": shop, "orders": await databases[shop].run(service.orders, customer)}

    @app.post("/orders", status_code=201)
    async def place_order(shop: Tenant, new: NewOrder, background: BackgroundTasks):
        order = await databases[shop].run(service.place_order, **new.model_dump())
        # It runs when the answer is sent, in the same scope.
        background.add_task(confirm, shop, order)
        return {"shop": shop, "id": order}

    async def confirm(shop, order):
        await databases[shop].run(service.confirm, order)

    @app.get("/orders.csv")
    async def export(shop: Tenant):
        async def pages():
            after = 0
            while rows := await databases[shop].run(service.orders, after=after, limit=100):
                yield service.as_csv(rows)
                after = rows[-1]["id"]

        return StreamingResponse(pages(), media_type="text/csv")

    @app.exception_handler(service.SoldOut)
    async def sold_out(request, error):
        return JSONResponse({"error": "sold out"}, 409)

    @app.exception_handler(service.CardDeclined)
    async def declined(request, error):
        return JSONResponse({"error": "card declined"}, 402)

    return app
