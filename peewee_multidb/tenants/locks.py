"""`use_tenant`: a scope that keeps what is inside it to the databases of one tenant.

What counts as another tenant's database: one whose settings say ``tenant = true``, and one that the
registry's resolver found. Where nothing says so, every database may be one: then only the tenant's own may
be used, the shared ones, and those in which a model lives that the tenant's scope does not move.

The lock is asked on entering a scope and again for each decision of a query; see `peewee_multidb.stack`
for how it gets there.
"""

from __future__ import annotations

from collections.abc import Iterable

from .. import scope
from ..errors import ConfigurationError, TenantLocked, UnknownDatabase, shown
from ..home import Home
from ..stack import Boundary, Scope, Target
from .known import tenancy_of

__all__ = ["current_tenant", "use_tenant"]


class use_tenant(scope.use_db):
    """Select the database of a tenant, and lock the code inside to it.

    Inside, entering or using another tenant's database raises `TenantLocked`, whether by a scope, a query's
    ``using()``, a row that was loaded elsewhere or a transaction. ``use_db(..., unlock=True)`` leaves the
    lock for a block. What is done directly with a Database object, ``databases["other"].execute_sql(...)``
    for instance, does not come by it.

    Args:
        name: the database of the tenant, as in `use_db`.
        tenant: what `current_tenant` answers inside; the name of the database by default.
        shared: names of databases that may be used inside as well, although they are a tenant's too.
        unlock: leave the lock of another tenant that is in force outside.
        renames: in place of the name or beside it, as in `use_db`: ``use_tenant(client="acme")`` moves the
            models that live in ``client`` and leaves the others where they are.

    Works as a context manager and as a decorator, as `use_db` does.

    Raises:
        ConfigurationError: neither a name nor a rename, or several names and no `tenant` to tell them by.
        UnknownDatabase: on entering, when no registry knows a name; or when there are tenants, and the
            name is none of them.
        TenantLocked: on entering, inside of the lock of another tenant.
    """

    __slots__ = ("names", "shared", "tenant")

    def __init__(
        self,
        name: str | None = None,
        *,
        tenant: str | None = None,
        shared: Iterable[str] = (),
        unlock: bool = False,
        **renames: str,
    ) -> None:
        super().__init__(name, unlock=unlock, **renames)
        own = () if name is None else (name,)
        #: The databases of the tenant.
        self.names = names = tuple(dict.fromkeys((*own, *renames.values())))
        if not names:
            raise ConfigurationError("use_tenant() selects nothing; give a database name or a rename.")
        if tenant is None and len(names) > 1:
            raise ConfigurationError(f"{self!r} has several databases; say whose they are: tenant=name.")
        if isinstance(shared, str):
            raise ConfigurationError(f"{self!r}: shared takes several names, not {shared!r}.")
        self.tenant = names[0] if tenant is None else tenant
        self.shared = frozenset(shared)

    def __enter__(self) -> None:
        scope.switch(self._entered())

    def _entered(self) -> Scope:
        self._check_known()
        around = scope.current()
        for name in self.names:
            if tenancy_of(name) is False:
                raise UnknownDatabase(
                    f"{self!r}: database {shown(name)} is no tenant's: its settings lack tenant = true."
                )
        if around is not None and around.lock is not None and not self.unlock:
            around.lock.check_names((*self._meant(Scope(self, around)), *self.shared), repr(self))
        return Boundary(self, around, TenantLock(self))

    def __repr__(self) -> str:
        inner = super().__repr__().removeprefix("use_db")
        return f"use_tenant{inner}"


class TenantLock:
    """The lock of one entered `use_tenant`.

    Attributes:
        tenant: what `current_tenant` answers.
        entry: what was entered.
    """

    __slots__ = ("_names", "entry", "tenant")

    def __init__(self, entry: use_tenant) -> None:
        self.tenant = entry.tenant
        self.entry = entry
        self._names = entry.shared.union(entry.names)

    def check_names(self, names: tuple[str, ...], what: str) -> None:
        """Raise if one of these names may not be entered inside.

        Args:
            names: as they are understood there, after renames.
            what: what names them, for the message.

        Raises:
            TenantLocked: one may not.
        """
        for name in names:
            if name not in self._names and tenancy_of(name) is not False:
                raise self._refusal(what, shown(name), name)

    def check(self, home: Home, target: Target) -> None:
        """Raise if a query on a model may not go to a database inside.

        Args:
            home: where the model lives.
            target: what was decided.

        Raises:
            TenantLocked: it may not.
        """
        name = target if isinstance(target, str) else home.registry.name_of(target)
        if name in self._names:
            return
        if name is None:
            if target is home.database:
                return
        elif home.registry.has_tenants:
            if not home.registry.is_tenant(name):
                return
        elif self.entry.place(home) is None and self._is_own(home, name):
            return
        where = "a Database object that has no name" if name is None else shown(name)
        raise self._refusal(f"a query on {home.model.__name__}", where, name or "name")

    @staticmethod
    def _is_own(home: Home, name: str) -> bool:
        """Whether the model is in that database by itself, and by what names mean in the scopes around."""
        if home.database is not None:
            return home.registry.name_of(home.database) == name
        own = (home.names or ()) if home.rule is not None or home.reference else (home.name,)
        around = scope.current()
        return name in own or name in {scope.renamed(around, one) for one in own if one is not None}

    def _refusal(self, what: str, where: str, name: str) -> TenantLocked:
        return TenantLocked(
            f"{what} would use database {where}, but the code here is locked to the tenant "
            f"{shown(self.tenant)}. Leave its block, or, if another tenant's data is really meant, write "
            f"use_db({shown(name)}, unlock=True); a database of all tenants belongs in shared=(...)."
        )


def current_tenant() -> str | None:
    """Return the tenant that the code here is locked to, or None outside of `use_tenant`."""
    around = scope.current()
    return None if around is None or around.lock is None else around.lock.tenant
