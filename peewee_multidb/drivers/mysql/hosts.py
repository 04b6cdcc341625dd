"""Several hosts in one URL: the server is whichever of them takes writes.

libpq and asyncpg do this by themselves for PostgreSQL; PyMySQL and aiomysql know one host. So each of a
URL's hosts is tried in turn, the last good one first, and one that is read-only is passed over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import peewee

from .charset import UNKNOWN_CHARSET

if TYPE_CHECKING:
    Base = peewee.MySQLDatabase
else:
    Base = object

__all__ = ["AsyncHosts", "Hosts"]

PORT = 3306
READ_ONLY = "SELECT @@global.read_only"


class HostsBase(Base):
    """What the synchronous and asynchronous mixins share.

    Attributes:
        hosts: hosts and ports, the one to try first in front; empty when there is but one.
        wants_writes: whether a read-only server will not do.
    """

    session_name: str
    hosts: tuple[tuple[str, int], ...] = ()
    wants_writes: bool = True

    def _choose(self, number: int) -> tuple[str, int]:
        host, port = self.hosts[number]
        self.connect_params.update(host=host, port=port)
        return host, port

    def _found(self, number: int) -> None:
        self.hosts = (*self.hosts[number:], *self.hosts[:number])

    def _nowhere(self, problems: list[str]) -> peewee.OperationalError:
        wanted = "takes writes" if self.wants_writes else "answers"
        return peewee.OperationalError(
            f"database {self.session_name!r}: none of the hosts of its url {wanted}: {'; '.join(problems)}"
        )


def _refused(error: Exception) -> bool:
    """Whether a host refused the connection for a reason that another host may not have."""
    return error.args[:1] != (UNKNOWN_CHARSET,)


class Hosts(HostsBase):
    """For PyMySQL, right in front of Peewee's class."""

    def _connect(self) -> Any:
        if not self.hosts:
            return super()._connect()  # type: ignore[misc]
        problems = []
        for number in range(len(self.hosts)):
            host, port = self._choose(number)
            try:
                conn = super()._connect()  # type: ignore[misc]
            except Exception as error:
                if not _refused(error):
                    raise
                problems.append(f"{host}:{port}: {error}")
                continue
            if not self.wants_writes or not self._is_read_only(conn):
                self._found(number)
                return conn
            conn.close()
            problems.append(f"{host}:{port} is read-only")
        raise self._nowhere(problems)

    @staticmethod
    def _is_read_only(conn: Any) -> bool:
        with conn.cursor() as cursor:
            cursor.execute(READ_ONLY)
            return bool(cursor.fetchone()[0])


class AsyncHosts(HostsBase):
    """For aiomysql, whose pool connects to one host: another one means another pool."""

    _pool: Any

    async def _create_pool_async(self) -> Any:
        if not self.hosts:
            return await super()._create_pool_async()  # type: ignore[misc]
        problems = []
        for number in range(len(self.hosts)):
            host, port = self._choose(number)
            try:
                pool = await super()._create_pool_async()  # type: ignore[misc]
            except Exception as error:
                problems.append(f"{host}:{port}: {error}")
                continue
            async with pool.acquire() as conn:
                is_fit = not self.wants_writes or not await self._is_read_only(conn)
            if is_fit:
                self._found(number)
                return pool
            pool.terminate()
            problems.append(f"{host}:{port} is read-only")
        raise self._nowhere(problems)

    async def _acquire_conn_async(self) -> Any:
        if not self.hosts:
            return await super()._acquire_conn_async()  # type: ignore[misc]
        try:
            acquired = await super()._acquire_conn_async()  # type: ignore[misc]
            if not self.wants_writes or not await self._is_read_only(acquired.conn):
                return acquired
        except peewee.OperationalError:
            if self._is_exhausted():
                # The host is not to blame, and others have transactions open on its connections.
                raise
        # The pool's host is gone, or takes no writes any more.
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.terminate()
        return await super()._acquire_conn_async()  # type: ignore[misc]

    def _is_exhausted(self) -> bool:
        pool = self._pool
        return pool is not None and not pool.freesize and pool.size >= pool.maxsize

    @staticmethod
    async def _is_read_only(conn: Any) -> bool:
        async with conn.cursor() as cursor:
            await cursor.execute(READ_ONLY)
            return bool((await cursor.fetchone())[0])
