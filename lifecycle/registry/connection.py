"""Connections that keep to limits which urllib3 has none for: where they go, and how long headers may take."""

from __future__ import annotations

import errno
import functools
import http.client
import os
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import urllib3

from lifecycle.connections import shut
from lifecycle.connections.noted import Noted, NotedTls
from lifecycle.registry.reach import Reach, reach_of
from lifecycle.registry.trouble import Trouble, TroubleKind, forbidden


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a connection must keep to."""

    most: Reach | None
    """How near the address may be; `None`: wherever it is."""
    idle_s: float
    """How long a piece of a body may take to be taken."""
    headers_s: float
    on_reach: Callable[[Reach], object]
    """Gets the reach of each address that was connected to."""
    on_connect: Callable[[socket.socket], object]
    """Gets each connection."""


class _WholeHeaders(http.client.HTTPResponse):
    """An answer whose headers are headers."""

    def begin(self) -> None:
        """Read the headers."""
        super().begin()
        if self.msg.defects:
            raise http.client.HTTPException("the headers of the answer are broken off")


class _Limited(Noted):
    """A connection that goes to allowed addresses only, and does not wait for headers without end."""

    response_class = _WholeHeaders

    def __init__(self, *arguments: object, limits: Limits, **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type]  # what urllib3's pool hands on
        self._limits = limits
        self.on_connect = limits.on_connect

    def _new_conn(self) -> socket.socket:
        connection = super()._new_conn()
        try:
            # The address that the connection has, not one that the name may have had a moment before.
            reach = reach_of(connection.getpeername()[0])
            most = self._limits.most
            if most is not None and (reach > most or reach is Reach.LINK):
                raise forbidden(reach)
        except BaseException:
            connection.close()
            raise
        self._limits.on_reach(reach)
        return connection

    def send(self, data: Any) -> None:
        """Send a piece of a request."""
        if self.sock is not None:
            self.sock.settimeout(self._limits.idle_s)
        try:
            super().send(data)
        except TimeoutError as err:
            raise Trouble(TroubleKind.BROKEN, f"nothing was taken for {self._limits.idle_s:g} seconds") from err
        except ssl.SSLEOFError as err:
            # Not a failure of TLS: who ends a connection early may have said before why.
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from err

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]  # as urllib3's own
        """Return the answer, when its headers are there."""
        connection = self.sock
        timer = threading.Timer(max(self._limits.headers_s, self.timeout or 0), shut, (connection,))
        timer.daemon = True
        timer.start()
        try:
            return super().getresponse()
        finally:
            timer.cancel()


class _LimitedTls(_Limited, NotedTls):
    """The same with TLS."""

    def connect(self) -> None:
        """Connect."""
        super().connect()
        # Who has named a registry as one that needs no proof need not be warned by urllib3.
        self.is_verified = True


def keep_to(limits: Limits, opener: urllib3.PoolManager) -> None:
    """Let the connections of `opener`, which has none yet, keep to `limits`."""
    opener.pool_classes_by_scheme = {
        "http": _pool_class(urllib3.HTTPConnectionPool, _Limited, limits),
        "https": _pool_class(urllib3.HTTPSConnectionPool, _LimitedTls, limits),
    }


def _pool_class(
    kind: type[urllib3.HTTPConnectionPool], connection: type[_Limited], limits: Limits
) -> type[urllib3.HTTPConnectionPool]:
    """A class of pools whose connections keep to `limits`: urllib3 hands nothing of its own on to connections."""
    return type("Pool", (kind,), {"ConnectionCls": functools.partial(connection, limits=limits)})
