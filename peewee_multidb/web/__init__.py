"""The status page: one page for people who would rather look than read.

`status_app` makes it, to be mounted in an application that then sees its own queries on it; ``multidb serve``
serves it by itself and shows what the servers tell.
"""

from .app import StatusApp, status_app

__all__ = ["StatusApp", "status_app"]
