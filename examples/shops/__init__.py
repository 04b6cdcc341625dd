"""A shop for many sellers, each with a database of its own: one set of models, on Flask and on FastAPI.

`models` and `service` know nothing of sellers: they are a shop. `tenancy` says where each seller's database
is,
`flask_app` and `fastapi_app` serve the shop of whoever a request is for, and `manage` is the command line.
"""
