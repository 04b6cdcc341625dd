"""What FastAPI users expect besides the middleware: dependencies that say whose request it is.

The middleware itself is `MultiDBMiddleware`, with ``app.add_middleware(MultiDBMiddleware, select=...)``, in
Starlette too. What an endpoint raises of databases becomes its answer there, unless the application has an
exception handler for it.
"""

from __future__ import annotations

from typing import Annotated

import peewee
from fastapi import Depends

from ..errors import NoDatabaseSelected
from ..registry import databases
from ..tenants.locks import current_tenant

__all__ = ["CurrentTenant", "Tenant", "TenantDatabase", "current", "required", "tenant_database"]


async def current() -> str | None:
    """Return the tenant of the request, or None."""
    return current_tenant()


async def required() -> str:
    """Return the tenant of the request.

    Raises:
        NoDatabaseSelected: it has none; the middleware answers 400.
    """
    tenant = current_tenant()
    if tenant is None:
        raise NoDatabaseSelected("This endpoint needs a tenant, and the request selects none.")
    return tenant


async def tenant_database(tenant: Annotated[str, Depends(required)]) -> peewee.Database:
    """Return the Database object of the tenant in the process-wide registry.

    Args:
        tenant: given by FastAPI.

    Raises:
        NoDatabaseSelected: the request has no tenant.
    """
    return databases[tenant]


#: For a parameter of an endpoint: the tenant, or None.
CurrentTenant = Annotated[str | None, Depends(current)]

#: For a parameter of an endpoint that refuses requests without a tenant.
Tenant = Annotated[str, Depends(required)]

#: For a parameter of an endpoint: the Database object of the tenant.
TenantDatabase = Annotated[peewee.Database, Depends(tenant_database)]
