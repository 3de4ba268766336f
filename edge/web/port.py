"""Where the page listens."""

from __future__ import annotations

import errno
import socket
from typing import Final

from edge.errors import UnavailableError
from edge.settings import WebSettings

BACKLOG: Final = 128
"""Connections that wait to be accepted."""

_FREEBIND: Final = {socket.AF_INET: (socket.IPPROTO_IP, 15), socket.AF_INET6: (socket.IPPROTO_IPV6, 78)}
"""Protocol and number of the option by family, from <linux/in.h> and <linux/in6.h>: Python has no names for them."""


class PortTakenError(UnavailableError):
    """Another program listens there."""


class AddressAwayError(UnavailableError):
    """No interface of this machine has the address."""


def take_port(settings: WebSettings, *, ahead: bool = False) -> socket.socket:
    """Listens where the page is to be.

    Args:
        settings: host and port.
        ahead: whether the address may come later (``IP_FREEBIND``, ip(7)); clients reach it as soon as it is there.

    Raises:
        PortTakenError: somebody else does.
        AddressAwayError: the address is not there, and not taken ahead.
        UnavailableError: the address or the port cannot be had.
    """
    host, port = settings.host, settings.port
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        if ahead:
            return _ahead(family, (host, port))
        return socket.create_server(
            (host, port),
            family=family,
            backlog=BACKLOG,
            dualstack_ipv6=host == "::" and socket.has_dualstack_ipv6(),
        )
    except UnicodeError as error:
        raise UnavailableError(f"web.host: {host} is no name that a host can have") from error
    except OSError as error:
        kinds = {errno.EADDRINUSE: PortTakenError, errno.EADDRNOTAVAIL: AddressAwayError}
        kind = kinds.get(error.errno or 0, UnavailableError)
        raise kind(f"web.host, web.port: {host}:{port} cannot be used: {error.strerror}") from error


def _ahead(family: socket.AddressFamily, address: tuple[str, int]) -> socket.socket:
    """What `socket.create_server` does, with an option that it cannot be given."""
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(*_FREEBIND[family], 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening
