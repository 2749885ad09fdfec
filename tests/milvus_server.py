"""A Milvus server of one's own, started and stopped, for tests and benchmarks."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
ETCD = 2380  # where the server's etcd listens, whatever it is told: one server a machine
READY = 280  # seconds that it may take to start; after a kill its locks run out first


def server_program():
    """Return the path of milvus-server: $MILVUS_SERVER, .venv-milvus, or on the path; or None."""
    known = (os.environ.get("MILVUS_SERVER"), ROOT / ".venv-milvus" / "bin" / "milvus-server")
    found = next((str(path) for path in known if path and Path(path).exists()), None)
    return found or shutil.which("milvus-server")


def why_not():
    """Return why no server can be started here, or None."""
    if sys.platform != "linux" or not server_program():
        return "needs milvus-server, of milvus==2.3.5 in an environment of its own: make test-scale"
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", ETCD))
        except OSError:
            return f"port {ETCD}, which a Milvus server takes, is taken"


class MilvusServer:
    """Starts on entering; `uri` is where it listens. What it has stays in `folder`."""

    def __init__(self, folder, *flags):
        self.folder, self.flags = Path(folder), flags
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"

    def start(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [server_program(), "--data", str(self.folder), "--proxy-port", str(self.port)]
        with open(self.folder / "server.log", "ab") as log:
            self._process = subprocess.Popen(
                [*command, *self.flags], stdout=log, stderr=log, start_new_session=True
            )
        until = time.monotonic() + READY
        while not self._ready():
            if time.monotonic() > until or self._process.poll() is not None:
                self.kill()
                raise RuntimeError(f"Milvus did not start: see {self.folder}/server.log")
            time.sleep(0.5)

    def _ready(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        # In a process of its own: connections of one process to one server wait for each other.
        client = (
            f"MilvusClient({self.uri!r}, token={'root:Milvus' if self.flags else ''!r}, timeout=5)"
        )
        code = f"from pymilvus import MilvusClient; {client}.list_collections(timeout=5)"
        return subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0

    def _signal(self, number):
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return
        self._process.wait(60)

    def kill(self):
        """End it at once, as kill -9 does."""
        self._signal(signal.SIGKILL)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self._signal(signal.SIGINT)
        self._signal(signal.SIGKILL)
