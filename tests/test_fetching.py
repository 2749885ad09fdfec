"""Pictures by URL: from a server on this machine, which the check of addresses is told to allow."""

import json
import socket
import threading
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest

import search
from pyimagesearch.pictures import fetching
from pyimagesearch.pictures.fetching import (
    Limits,
    fetch_picture,
    is_public,
    is_url,
    without_password,
)
from tests.scripts import error_of

PNG = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()


def anywhere(address):
    return True


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.paths.append(self.path)
        self.server.headers.append(dict(self.headers))
        name = self.path.partition("?")[0]
        inside = f"http://127.0.0.2:{self.server.server_port}/a.png"
        answers = {
            "/a.png": (200, {"Content-Length": len(PNG)}, PNG),
            "/unknown-size": (200, {}, PNG),
            "/cut": (200, {"Content-Length": len(PNG) + 5}, PNG),
            "/page": (200, {}, b"<html>holiday</html>"),
            "/empty": (200, {}, b""),
            "/says-large": (200, {"Content-Length": 10**12}, PNG),
            "/large": (200, {}, PNG + bytes(3000)),
            "/file": (302, {"Location": "file:///etc/passwd"}, b""),
            "/there": (302, {"Location": "/a.png"}, b""),
            "/circle": (302, {"Location": "/circle"}, b""),
            "/nowhere": (302, {}, b""),
            "/inside": (
                302,
                {"Location": inside},
                b"",
            ),
            "/b%C3%A9.png": (200, {}, PNG),
        }
        status, headers, content = answers.get(name, (404, {}, b""))
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, str(value))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.paths, server.headers = [], []
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def fetch(url, **limits):
    return fetch_picture(url, allows=anywhere, limits=Limits(**limits))


@pytest.mark.parametrize("path", ["/a.png", "/unknown-size", "/there", "/a.png?size=2#top"])
def test_a_picture(server, path):
    assert fetch(server.url + path) == PNG


def test_letters_beyond_ascii_are_encoded(server):
    assert fetch(f"{server.url}/bé.png") == PNG


def test_nothing_of_the_user_is_sent(server, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    fetch(f"{server.url}/a.png")
    sent = server.headers[-1]
    assert set(sent) == {"Host", "User-Agent", "Accept", "Accept-Encoding"}


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/page", "not a picture"),
        ("/empty", "not a picture"),
        ("/file", "not by file"),
        ("/circle", "more than 5 times"),
        ("/nowhere", "redirects to nowhere"),
        ("/says-large", "more than 268,435,456 bytes"),
    ],
)
def test_what_is_no_picture_is_refused(server, path, reason):
    with pytest.raises(ValueError, match=reason):
        fetch(server.url + path)


def test_size_is_limited_though_it_was_not_said(server):
    with pytest.raises(ValueError, match="more than 2,000 bytes"):
        fetch(f"{server.url}/large", max_bytes=2000)


@pytest.mark.parametrize(
    ("path", "reason"), [("/missing", "the server answers 404"), ("/cut", "before the picture")]
)
def test_what_does_not_arrive_is_an_error_of_one_line(server, path, reason):
    with pytest.raises(OSError, match=reason) as caught:
        fetch(server.url + path)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "url", ["http://[::1/x", "http://[x]/x", "http://a:b/", "http://a:99999/", "http://\u2100/"]
)
@pytest.mark.parametrize("base", ["", "http://example.org/"])
def test_what_is_no_url_is_told_in_our_words(url, base):
    with pytest.raises(ValueError, match=r"^its host or port is none: write http://HOST/PATH"):
        fetching._parse(url, base)


def test_a_host_that_cannot_be_one_is_named():
    with pytest.raises(ValueError, match=r"a\.\.b is no name of a host"):
        fetch("http://a..b/x")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/a", "data://x", "gopher://h/"])
def test_other_schemes_are_refused(url):
    assert is_url(url)
    with pytest.raises(ValueError, match="by http or https, not by"):
        fetch(url)


@pytest.mark.parametrize("url", ["http://", "http://host:port/", "http://[::1/", "http://h/a b"])
def test_what_is_no_url_is_one_line(url):
    with pytest.raises(ValueError, match="http"):
        fetch(url)


@pytest.mark.parametrize("name", ["a.png", "-", "C:\\a.png", "folder/http:", "2:holiday.jpg"])
def test_paths_are_no_urls(name):
    assert not is_url(name)


def test_a_password_is_neither_sent_nor_shown(server):
    url = f"http://user:secret@127.0.0.1:{server.server_port}/a.png"
    before = len(server.paths)
    with pytest.raises(ValueError, match="passwords are not sent") as caught:
        fetch(url)
    assert "secret" not in str(caught.value)
    assert "user:" not in str(caught.value)
    assert len(server.paths) == before


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://user:a@b@host/p@q", "http://host/p@q"),
        ("http://token@host:80/", "http://host:80/"),
        ("http://host/a?x=user:p@h", "http://host/a?x=user:p@h"),
        ("http://host", "http://host"),
    ],
)
def test_a_url_is_shown_without_its_password(url, shown):
    assert without_password(url) == shown


def test_a_url_is_a_query(server, small_index, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fetching, "fetch_picture", partial(fetch_picture, allows=anywhere))
    (tmp_path / "a.png").write_bytes(PNG)
    results = []
    for query in (f"{server.url}/a.png", str(tmp_path / "a.png")):
        flags = ["--index", str(small_index), "--query", query, "--max-results", "3", "--json"]
        assert search.main(flags) == 0
        [line] = capsys.readouterr().out.splitlines()
        results.append(json.loads(line)["results"])
    assert results[0] == results[1]


def test_a_url_that_cannot_be_fetched_is_one_line(small_index, capsys):
    flags = ["--index", small_index, "--query", "http://user:secret@127.0.0.1/a.png"]
    message = error_of(capsys, search, *flags)
    assert message.startswith("http://127.0.0.1/a.png: user names and passwords are not sent")


def test_a_password_in_the_name_of_an_index_is_not_shown(capsys):
    search.main(["--index", "http://user:secret@127.0.0.1:1/photos", "--query", "a.png"])
    assert "secret" not in capsys.readouterr().err


# --- addresses

NOT_PUBLIC = [
    *("127.0.0.1", "127.1.2.3", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
    *("100.64.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", "240.0.0.1", "192.0.2.1"),
    *("198.18.0.1", "::1", "::", "fe80::1", "fc00::1", "fec0::1", "ff02::1", "2001:db8::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "fe80::1%eth0"),
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_public(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "[::1]", "[::ffff:7f00:1]"]
)
def test_this_machine_is_not_asked_however_it_is_written(server, host):
    before = len(server.paths)
    with pytest.raises((ValueError, OSError), match=r"private network|no host"):
        fetch_picture(f"http://{host}:{server.server_port}/a.png")
    assert len(server.paths) == before


def test_a_redirect_to_an_address_that_is_not_allowed_is_refused(server):
    def only_the_first(address):
        return address == "127.0.0.1"

    with pytest.raises(ValueError, match=r"127\.0\.0\.2, an address of a private network"):
        fetch_picture(f"{server.url}/inside", allows=only_the_first)


def test_the_address_that_was_checked_is_connected_to(server, monkeypatch):
    """A name that has another address the second time, as in DNS rebinding."""
    asked = []

    def resolve(host, port, **_):
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "127.0.0.9"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    checked = []

    def allows(address):
        checked.append(address)
        return True

    assert fetch_picture(f"http://pictures.test:{server.server_port}/a.png", allows=allows) == PNG
    assert (asked, checked) == (["pictures.test"], ["127.0.0.1"])


def test_a_name_with_one_private_address_is_refused(monkeypatch):
    def resolve(host, port, **_):
        addresses = ["8.8.8.8", "10.0.0.1"]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(ValueError, match=r"10\.0\.0\.1"):
        fetch_picture("http://pictures.test/a.png")


# --- time


@contextmanager
def slow_server(first):
    """A server that sends `first` and then a byte now and then, for ever; yields its URL."""
    stopped = threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))

    def serve():
        connection, _ = listening.accept()
        with connection:
            connection.recv(1000)
            try:
                connection.sendall(first)
                while not stopped.wait(0.05):
                    connection.sendall(b"a")
            except OSError:
                return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/a.png"
    finally:
        stopped.set()
        listening.close()


@pytest.mark.parametrize(
    "first", [b"", b"HTTP/1.0 200 OK\r\nX: ", b"HTTP/1.0 200 OK\r\n\r\n" + PNG], ids=len
)
def test_a_server_that_sends_for_ever_is_left(first):
    with (
        slow_server(first) as url,
        pytest.raises(OSError, match=r"did not arrive within 0\.5 seconds"),
    ):
        fetch(url, seconds=0.5)


def test_a_server_that_is_not_there_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(OSError, match=r"cannot be fetched: .*refused"):
        fetch(f"http://127.0.0.1:{port}/a.png")
