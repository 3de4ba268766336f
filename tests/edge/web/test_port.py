"""Where the page listens: a port that is taken, a name that is none, and an address that comes after the start."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from edge.errors import UnavailableError
from edge.settings import WebSettings
from edge.web.port import AddressAwayError, take_port
from edge.web.server import PageServer
from support.components import ROOT, require, require_program


def a_page(host: str, port: int = 8377) -> PageServer:
    return PageServer(WebSettings(enabled=True, host=host, port=port, token="long enough"), lambda _: None)  # type: ignore[arg-type, return-value]


def test_a_port_that_is_taken_is_named_at_the_start() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(
            UnavailableError, match=f"web.host, web.port: 127.0.0.1:{port} cannot be used: Address already"
        ):
            a_page("127.0.0.1", port).listen()


@pytest.mark.parametrize("host", ["a" * 64, f"board.{'a' * 64}.example", "a..b"])
def test_a_host_that_no_name_can_be_is_named_at_the_start(host: str) -> None:
    with pytest.raises(UnavailableError, match=r"web\.host: \S+ is no name that a host can have"):
        a_page(host).listen()


@pytest.mark.parametrize("host", ["192.0.2.7", "2001:db8::7"])
def test_an_address_of_another_machine_is_named(host: str) -> None:
    """By `maskgate check`, which does not wait for it. These are addresses of documentation, of no machine."""
    with pytest.raises(AddressAwayError, match=f"web.host, web.port: {host}:8377 cannot be used: Cannot assign"):
        take_port(WebSettings(enabled=True, host=host, port=8377, token="long enough"))


IN_A_NETWORK_OF_ITS_OWN = """
import http.client, logging, subprocess, sys, threading
from edge.settings import WebSettings
from edge.web.server import PageServer

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"here"})

def ask():
    connection = http.client.HTTPConnection(host, 8377, timeout=10)
    connection.request("GET", "/")
    return connection.getresponse().read().decode()

logging.basicConfig(format="%(message)s", stream=sys.stdout)
ip, host = sys.argv[1:]
subprocess.run([ip, "link", "set", "lo", "up"], check=True)
page = PageServer(WebSettings(enabled=True, host=host, port=8377, token="long enough"), lambda _: app)
page.listen()
stop = threading.Event()
thread = threading.Thread(target=page.run, args=(stop,))
thread.start()
for change in ("add", "delete", "add"):
    subprocess.run([ip, "address", change, host, "dev", "lo"], check=True)
    try:
        print(ask(), flush=True)
    except OSError:
        print("nobody", flush=True)
stop.set()
thread.join()
"""


@pytest.mark.parametrize("host", ["10.9.8.7", "fd00:9::7"])
def test_the_page_answers_at_an_address_that_comes_after_the_start_goes_and_comes_again(host: str) -> None:
    ip, unshare = require_program("ip", "iproute2"), require_program("unshare", "util-linux")
    require(os.geteuid() == 0, "needs root for a network of its own")

    command = [unshare, "--net", sys.executable, "-c", IN_A_NETWORK_OF_ITS_OWN, ip, host]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    warning = f"web.host: {host} is no address of this machine now; the page is there when it becomes one"
    assert done.stdout.splitlines() == [warning, "here", "nobody", "here"]
