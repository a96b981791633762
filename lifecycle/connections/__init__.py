"""Connections that another thread can end, so that whoever waits for an answer need not wait for it to come."""

from __future__ import annotations

import contextlib
import socket
import threading
import weakref


class Connections:
    """Those that were noted. Safe for several threads."""

    def __init__(self) -> None:
        self._open: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        # A handler of a signal may cancel, and so `end` them, while its own thread is in here.
        self._lock = threading.RLock()
        self._is_over = False

    def note(self, connection: socket.socket) -> None:
        """Let `end` know of a connection; after it, the connection ends at once."""
        with self._lock:
            self._open.add(connection)
            is_over = self._is_over
        if is_over:
            shut(connection)

    def interrupt(self) -> None:
        """End all that there are."""
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            shut(connection)

    def end(self) -> None:
        """End all that there are, and those to come."""
        with self._lock:
            self._is_over = True
        self.interrupt()


def shut(connection: socket.socket) -> None:
    """End a connection, also one that another thread waits for."""
    with contextlib.suppress(OSError):  # it may have ended by itself
        # Not the method of a TLS socket, which forgets the session that another thread is reading with.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
