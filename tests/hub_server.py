"""A hub of models on 127.0.0.1, which speaks the protocol of the hub's client."""

import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REPOSITORY = "owner/network"
COMMIT = "c" * 40
LARGE = ".onnx"  # files of this suffix are listed as the hub lists large files, by SHA-256


class Hub:
    """A hub with one repository of `files`, {name: content}; its settings may be changed.

    `cut` maps names to the number of bytes after which the first answer with them is cut off,
    `redirect` sends large files elsewhere, `changed` maps names to what is sent in place of their
    content, `commit` is what the main branch stands for. `requests` and `tokens` are what arrived.
    """

    def __init__(self, files):
        self.files = files
        self.commit = COMMIT
        self.cut = {}
        self.redirect = False
        self.changed = {}
        self.requests = []
        self.tokens = set()

    def siblings(self):
        listed = []
        for name, content in self.files.items():
            blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            entry = {"rfilename": name, "size": len(content), "blobId": blob}
            if name.endswith(LARGE):
                sha256 = hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 100}
            listed.append(entry)
        return listed

    def etag(self, name):
        [entry] = [entry for entry in self.siblings() if entry["rfilename"] == name]
        return entry["lfs"]["sha256"] if "lfs" in entry else entry["blobId"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def hub(self):
        return self.server.hub

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.partition("?")[0].strip("/")
        self.hub.requests.append((self.command, path, self.headers.get("Range")))
        self.hub.tokens.add(self.headers.get("Authorization"))
        if path.startswith("elsewhere/"):
            self.send_file(path.removeprefix("elsewhere/"))
        elif path.startswith(f"api/models/{REPOSITORY}"):
            revision = path.partition("/revision/")[2] or "main"
            if revision not in ("main", self.hub.commit):
                self.refuse("RevisionNotFound")
                return
            values = {"id": REPOSITORY, "sha": self.hub.commit, "siblings": self.hub.siblings()}
            self.answer(200, json.dumps(values).encode(), {"Content-Type": "application/json"})
        elif path.startswith(f"{REPOSITORY}/resolve/"):
            _, _, rest = path.partition("/resolve/")
            self.resolve(rest.partition("/")[2])
        else:
            self.refuse("RepoNotFound")

    def resolve(self, name):
        if name not in self.hub.files:
            self.refuse("EntryNotFound")
        elif self.hub.redirect and name.endswith(LARGE):
            size = len(self.hub.files[name])
            headers = {"Location": f"{self.server.url}/elsewhere/{name}"}
            headers |= {"X-Linked-Size": str(size), "X-Linked-Etag": f'"{self.hub.etag(name)}"'}
            self.answer(302, b"", {**headers, "X-Repo-Commit": self.hub.commit})
        else:
            self.send_file(name)

    def send_file(self, name):
        content = self.hub.files[name]
        if self.command == "GET":
            content = self.hub.changed.get(name, content)
        headers = {"ETag": f'"{self.hub.etag(name)}"', "X-Repo-Commit": self.hub.commit}
        headers["Accept-Ranges"] = "bytes"
        status = 200
        if given := self.headers.get("Range"):
            start = int(given.removeprefix("bytes=").partition("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            content = content[start:]
            status = 206
        cut = None
        if self.command == "GET":
            cut = self.hub.cut.pop(name, None)
        self.answer(status, content, headers, cut)

    def answer(self, status, content, headers, cut=None):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content[:cut])
        self.close_connection = cut is not None

    def refuse(self, code):
        self.answer(404, b"", {"X-Error-Code": code, "X-Repo-Commit": self.hub.commit})

    def log_message(self, *_):
        pass


@contextmanager
def serving(hub):
    """Serve a hub; yields its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.hub = hub
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.url
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
