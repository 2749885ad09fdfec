"""Pictures by their URL, http or https, from public addresses only.

A URL may come from somewhere else, and may lead into the user's own network. The address that a
name has is therefore checked, after each redirect too, and that very address is connected to.
"""

import contextlib
import ipaddress
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, urljoin, urlsplit, urlunsplit

from pyimagesearch.files import printable
from pyimagesearch.pictures.formats import HEAD_SIZE, picture_format

if TYPE_CHECKING:
    import socket
    from http.client import HTTPResponse

MAX_BYTES = 1 << 28  # of a picture
MAX_REDIRECTS = 5
SECONDS_FOR_AN_ANSWER = 10.0  # to connect, and for each part of an answer
SECONDS = 60.0  # for one picture, redirects included
CHUNK = 1 << 16
OK = 200
REDIRECTS = (301, 302, 303, 307, 308)
SCHEMES = {"http": 80, "https": 443}  # with their ports
SAFE = "%/:?#[]@!$&'()*+,;=~"  # what a URL may hold, besides letters and digits (RFC 3986)
USER_AGENT = "pyimagesearch"
# Addresses that stand for an IPv4 address, which is the one that is reached (RFC 6052).
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Allows = Callable[[str], bool]


@dataclass(frozen=True)
class Limits:
    """What a fetch may take: bytes of the picture, and seconds until it is there."""

    max_bytes: int = MAX_BYTES
    seconds: float = SECONDS


DEFAULT_LIMITS = Limits()


def is_url(name: str) -> bool:
    """Whether a name is meant as a URL: it begins with a scheme and `://`."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", name) is not None


def without_password(url: str) -> str:
    """Return a URL as it can be shown: without user name and password."""
    return re.sub(r"(?<=://)[^/?#\\]*@", "", url)


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet.

    Not public are private, loopback, link-local, shared, multicast and reserved addresses, also as
    IPv4 within IPv6 (RFC 4291, RFC 3056, RFC 4380, RFC 6052).
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
        inner = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
        if any(each is not None and not is_public(str(each)) for each in inner):
            return False
        if ip.is_site_local or ip.scope_id is not None:
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def fetch_picture(
    url: str, *, allows: Allows = is_public, limits: Limits = DEFAULT_LIMITS
) -> bytes:
    """Return the content of a picture file at a URL.

    `allows` says of an IP address whether it may be connected to. Proxies are not used. Raises
    ValueError for another scheme, an address that is not allowed, or content that is no picture or
    too large, OSError when it cannot be fetched.
    """
    from http.client import HTTPException  # here, because most searches fetch nothing

    shown = printable(without_password(url))
    until = time.monotonic() + limits.seconds
    try:
        content = _follow(url, allows=allows, until=until, max_bytes=limits.max_bytes)
        _require_time(until)  # a connection that was cut looks like a complete answer
        return content
    except (ValueError, OSError, HTTPException) as error:
        if time.monotonic() >= until:
            reason = f"it did not arrive within {limits.seconds:g} seconds"
            raise OSError(f"{shown}: {reason}") from None
        reason = printable(" ".join(str(error).split())[:200]) or type(error).__name__
        if isinstance(error, ValueError):
            raise ValueError(f"{shown}: {reason}") from None
        raise OSError(f"{shown}: cannot be fetched: {reason}") from None


def _follow(url: str, *, allows: Allows, until: float, max_bytes: int) -> bytes:
    """Return the content of a picture at a URL or where it redirects to."""
    target = _parse(url)
    for _ in range(MAX_REDIRECTS + 1):
        with _answer(target, allows, until) as answer:
            if answer.status not in REDIRECTS:
                return _content(answer, max_bytes)
            location = answer.getheader("Location")
        if not location:
            raise ValueError("it redirects to nowhere")
        target = _parse(location, base=target.geturl())
    raise ValueError(f"it redirects more than {MAX_REDIRECTS} times")


def _require_time(until: float) -> None:
    if time.monotonic() >= until:
        raise TimeoutError


def _parse(url: str, base: str = "") -> SplitResult:
    """Return the parts of a URL, which may be relative to `base`, or raise ValueError."""
    try:
        parts = urlsplit(urljoin(base, url))
        _ = parts.port  # raises for one that is no number up to 65535
    except ValueError:
        raise ValueError(
            "its host or port is none: write http://HOST/PATH, http://HOST:PORT/PATH or, with an "
            "address of IPv6, http://[ADDRESS]/PATH"
        ) from None
    if parts.scheme.lower() not in SCHEMES:
        raise ValueError(
            f"pictures are fetched by http or https, not by {parts.scheme or 'a path'}"
        )
    if not parts.hostname:
        raise ValueError("it names no host")
    if parts.username is not None:
        raise ValueError("user names and passwords are not sent; leave them out of the URL")
    if re.search(r"[\0-\x20\x7f]", url):
        raise ValueError("spaces and control characters must be written as %20")
    return parts


@contextlib.contextmanager
def _answer(target: SplitResult, allows: Allows, until: float) -> Iterator["HTTPResponse"]:
    """Ask for a URL; yields the answer, whose connection is cut when the time has come."""
    import ssl
    from http.client import HTTPConnection

    assert target.hostname is not None
    scheme = target.scheme.lower()
    port = target.port or SCHEMES[scheme]
    connection = HTTPConnection(target.hostname, port)
    connection.sock = _connect(target.hostname, port, allows=allows, until=until)
    cut = threading.Timer(max(0.0, until - time.monotonic()), _shut_down, [connection.sock])
    cut.daemon = True
    cut.start()
    try:
        if scheme == "https":
            context = ssl.create_default_context()
            connection.sock = context.wrap_socket(connection.sock, server_hostname=target.hostname)
        path = quote(urlunsplit(("", "", target.path or "/", target.query, "")), safe=SAFE)
        headers = {"User-Agent": USER_AGENT, "Accept": "image/*", "Accept-Encoding": "identity"}
        connection.request("GET", path, headers=headers)
        yield connection.getresponse()
    finally:
        cut.cancel()
        connection.close()


def _connect(host: str, port: int, *, allows: Allows, until: float) -> "socket.socket":
    """Return a connection to the first address of a host, all of which must be allowed."""
    import socket

    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise ValueError(f"{host} is no name of a host") from None
    except OSError as error:
        raise OSError(f"no host {host}: {error.strerror}") from None
    for _, _, _, _, address in found:
        if not allows(str(address[0])):
            raise ValueError(
                f"{host} is at {address[0]}, an address of a private network or of this machine, "
                "which is not asked; save the picture and pass the file"
            )
    reason = OSError(f"no address of {host}")
    for family, kind, protocol, _, address in found:
        connection = socket.socket(family, kind, protocol)
        try:
            left = until - time.monotonic()
            connection.settimeout(max(0.1, min(SECONDS_FOR_AN_ANSWER, left)))
            connection.connect(address)
        except OSError as refused:
            connection.close()
            reason = refused
        else:
            return connection
    raise reason


def _shut_down(connection: "socket.socket") -> None:
    import socket

    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _content(answer: "HTTPResponse", max_bytes: int) -> bytes:
    """Return the content of an answer, or raise ValueError if it is no picture."""
    if answer.status != OK:
        raise OSError(f"the server answers {answer.status} {answer.reason}")
    too_large = f"it has more than {max_bytes:,} bytes"
    if answer.length is not None and answer.length > max_bytes:
        raise ValueError(too_large)
    data = bytearray(answer.read(HEAD_SIZE))
    if picture_format(bytes(data)) is None:
        raise ValueError("what the server sent is not a picture of a known format")
    while chunk := answer.read(CHUNK):
        data += chunk
        if len(data) > max_bytes:
            raise ValueError(too_large)
    if answer.length:  # what is still to come
        raise OSError("the connection was closed before the picture was complete")
    return bytes(data)
