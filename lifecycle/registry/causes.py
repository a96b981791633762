"""What an exception of urllib3, or of what is below it, means."""

from __future__ import annotations

import http.client
import re
import socket
import ssl

from urllib3.exceptions import IncompleteRead as CutOff
from urllib3.exceptions import NameResolutionError, NewConnectionError
from urllib3.exceptions import TimeoutError as NothingCame

from lifecycle.registry.trouble import Trouble, TroubleKind, words_of

_NOT_TLS = re.compile(r"WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE|HTTP_REQUEST|UNEXPECTED_EOF|PACKET_LENGTH_TOO_LONG")
# How far causes are followed
_DEPTH = 8


def trouble_of(err: Exception, idle_s: float) -> Trouble:
    """Return what an exception of urllib3, or below it, means."""
    chain = [err]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and len(chain) < _DEPTH:
        if not isinstance(cause, Exception):
            break
        chain.append(cause)
    chain += [argument for one in chain for argument in one.args if isinstance(argument, Exception)]
    for one in chain:
        if isinstance(one, Trouble):
            return one
        if isinstance(one, ssl.SSLCertVerificationError):
            reason = (one.verify_message or words_of(one)).rstrip(".")
            return Trouble(TroubleKind.CERTIFICATE, reason[:1].lower() + reason[1:])
        if isinstance(one, ssl.SSLError):
            kind = TroubleKind.NOT_TLS if _NOT_TLS.search(str(one)) else TroubleKind.CERTIFICATE
            return Trouble(kind, f"no connection with TLS: {words_of(one)}")
    for one in chain:
        if isinstance(one, NameResolutionError):
            return Trouble(TroubleKind.UNREACHABLE, "its name is not known")
        if isinstance(one, (NewConnectionError, ConnectionRefusedError)):
            return Trouble(TroubleKind.UNREACHABLE, words_of(_of_system(chain)))
        if isinstance(one, (NothingCame, socket.timeout)):
            return Trouble(TroubleKind.BROKEN, f"nothing came for {idle_s:g} seconds")
        if isinstance(one, (http.client.IncompleteRead, CutOff)):
            return Trouble(TroubleKind.BROKEN, "it ended in the middle of an answer")
        if isinstance(one, http.client.RemoteDisconnected):
            return Trouble(TroubleKind.BROKEN, "it ended without an answer")
    return Trouble(TroubleKind.BROKEN, words_of(_of_system(chain)))


def _of_system(chain: list[Exception]) -> Exception:
    """The exception that has the system's own words, or else the first cause."""
    return next((one for one in chain if isinstance(one, OSError) and one.strerror), chain[-1])
