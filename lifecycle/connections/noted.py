"""urllib3's connections, told of when there is something to end: `lifecycle.connections` does so."""

from __future__ import annotations

import socket
from collections.abc import Callable

from urllib3.connection import HTTPConnection, HTTPSConnection


class Noted(HTTPConnection):
    """A connection that `on_connect`, which a subclass sets, is told of."""

    on_connect: Callable[[socket.socket], object]

    def connect(self) -> None:
        """Connect."""
        super().connect()
        self.on_connect(self.sock)


class NotedTls(Noted, HTTPSConnection):
    """The same with TLS: it is told of before the handshake, in which the other side may be silent, and after it."""

    _connected: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        connection = super()._new_conn()
        # TLS will take the connection away from this object.
        self._connected = connection.dup()
        self.on_connect(self._connected)
        return connection

    def connect(self) -> None:
        """Connect."""
        try:
            super().connect()
        finally:
            if self._connected is not None:
                self._connected.close()
