"""Docker's library, with connections that another thread can end. Loaded with the first engine: it takes a third of a second."""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable
from typing import Any

from docker import APIClient
from docker.transport import UnixHTTPAdapter
from docker.transport.unixconn import UnixHTTPConnection, UnixHTTPConnectionPool
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool

from lifecycle.connections import Connections
from lifecycle.connections.noted import Noted, NotedTls

_OnConnect = Callable[[socket.socket], None]


class EngineClient(APIClient):
    """Docker's client, whose connections are noted in `connections`; the other arguments are its own."""

    def __init__(self, connections: Connections, **options: Any) -> None:
        self._connections = connections
        super().__init__(**options)

    def mount(self, prefix: str | bytes, adapter: BaseAdapter) -> None:
        """Let `adapter`, which Docker's library has made, serve the addresses that begin with `prefix`."""
        note = self._connections.note
        if isinstance(adapter, UnixHTTPAdapter):
            adapter = _UnixAdapter(adapter, note)
        elif isinstance(adapter, HTTPAdapter):
            adapter.poolmanager.pool_classes_by_scheme = {
                "http": _pool_class(HTTPConnectionPool, _Plain, note),
                "https": _pool_class(HTTPSConnectionPool, _Tls, note),
            }
        super().mount(prefix, adapter)


class _UnixAdapter(UnixHTTPAdapter):
    def __init__(self, like: UnixHTTPAdapter, on_connect: _OnConnect) -> None:
        super().__init__(like.socket_path, like.timeout, max_pool_size=like.max_pool_size)
        self._on_connect = on_connect

    def get_connection(self, url: str | bytes, proxies: object = None) -> UnixHTTPConnectionPool:  # noqa: ARG002 - as Docker's
        with self.pools.lock:
            pool = self.pools.get(url)
            if pool is None:
                pool = _UnixPool(str(url), self.socket_path, self.timeout, maxsize=self.max_pool_size)
                pool.on_connect = self._on_connect
                self.pools[url] = pool
        return pool


class _UnixPool(UnixHTTPConnectionPool):
    on_connect: _OnConnect

    def _new_conn(self) -> Any:  # urllib3 has a type for it that it does not show
        return _Unix(self.base_url, self.socket_path, self.timeout, on_connect=self.on_connect)


class _Unix(UnixHTTPConnection):
    def __init__(self, *arguments: Any, on_connect: _OnConnect) -> None:
        super().__init__(*arguments)
        self._on_connect = on_connect

    def connect(self) -> None:
        super().connect()
        if self.sock is not None:
            self._on_connect(self.sock)


class _Plain(Noted):
    def __init__(self, *arguments: Any, on_connect: _OnConnect, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.on_connect = on_connect


class _Tls(_Plain, NotedTls):
    pass


def _pool_class(
    kind: type[HTTPConnectionPool], connection: type[_Plain], on_connect: _OnConnect
) -> type[HTTPConnectionPool]:
    """A class of pools whose connections are noted: urllib3 hands nothing of its own on to connections."""
    return type("Pool", (kind,), {"ConnectionCls": functools.partial(connection, on_connect=on_connect)})
