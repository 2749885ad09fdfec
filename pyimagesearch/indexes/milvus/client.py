"""Connections to Milvus, whose collections are on a server or in a file of Milvus Lite."""

import importlib.util
import logging
import os
import re
import time
from dataclasses import dataclass

logger = logging.getLogger(__name__)


LITE = re.compile(r"(?P<file>.*[^/]\.db)(?:/(?P<name>[A-Za-z_]\w*))?/?", re.ASCII)
NAME = re.compile(r"[A-Za-z_]\w{0,199}", re.ASCII)  # of a collection; ours add a suffix to it
DEFAULT_NAME = "images"
DEFAULT_PORT = 19530
CONNECT = 10  # seconds that a server has to answer at first
# Seconds before a call is repeated after a transient failure. A Milvus that was killed needs most
# of a minute to restart, until its leases in etcd have expired.
PAUSES = (1, 2, 4, 8, 16, 30, 30)
# By default gRPC waits up to two minutes before it reconnects, for all connections of a process.
GRPC = {
    "grpc.initial_reconnect_backoff_ms": 500,
    "grpc.max_reconnect_backoff_ms": 2000,
    "grpc.use_local_subchannel_pool": 1,
}
LITE_GRPC = {"grpc.keepalive_time_ms": 2**31 - 1}  # it closes connections that send keepalive pings
# Permanent failures, by Milvus' error codes: no such collection, index or database, bad parameters,
# no permission.
PERMANENT = {100, 700, 800, 1100, 1101, 1102, 1400, 1401, 1800, 2100}
PERMANENT_RPC = {
    "ALREADY_EXISTS",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "PERMISSION_DENIED",
    "UNAUTHENTICATED",
    "UNIMPLEMENTED",
}


def is_milvus(index):
    """Whether an index of this name is a collection: http://HOST:PORT/NAME, FILE.db[/NAME]."""
    index = str(index)
    return index.startswith(("http://", "https://")) or LITE.fullmatch(index) is not None


@dataclass(frozen=True)
class Address:
    """The address of a collection: `uri` for the client, its `name`, whether it is in a file."""

    uri: str
    name: str
    lite: bool

    def __str__(self):
        return f"{self.uri}/{self.name}"


def parse_address(index):
    """Return http(s)://HOST[:PORT]/NAME or FILE.db[/NAME] as an Address, or raise ValueError."""
    if match := LITE.fullmatch(str(index)):
        return Address(match["file"], match["name"] or DEFAULT_NAME, True)
    from urllib.parse import urlsplit  # not needed by index files

    parts = urlsplit(str(index))
    if "@" in parts.netloc:  # not repeated in the message, which may end up in a log
        raise ValueError("a user, password or token belongs in MILVUS_TOKEN, not in --index")
    name = parts.path.strip("/")
    try:
        host, port = parts.hostname, parts.port or DEFAULT_PORT
    except ValueError:
        host = None
    if not host or not NAME.fullmatch(name) or parts.query or parts.fragment:
        raise ValueError(
            "expected a collection as http://HOST:PORT/NAME, its name of letters, digits and _, "
            f"received {index}"
        )
    host = f"[{host}]" if ":" in host else host
    return Address(f"{parts.scheme}://{host}:{port}", name, False)


class MilvusConnection:
    """A connection to Milvus. Transient failures are repeated, at most len(PAUSES) times.

    All calls can be repeated: upserts and deletes are idempotent, and the others only read.
    """

    def __init__(self, address):
        """Connect. Raises OSError when that fails, ImportError without the client."""
        self.address = address
        self._token = "" if address.lite else os.environ.get("MILVUS_TOKEN", "")
        self._client = self._connect()

    def _connect(self):
        _require_client(self.address.lite)
        from pymilvus import MilvusClient
        from pymilvus.exceptions import MilvusException

        uri = self.address.uri
        if self.address.lite:
            os.makedirs(os.path.dirname(os.path.abspath(uri)), exist_ok=True)
        else:
            _require_listener(uri)
        try:
            return MilvusClient(
                uri,
                token=self._token,
                timeout=CONNECT,
                dedicated=True,
                grpc_options=GRPC | LITE_GRPC if self.address.lite else GRPC,
            )
        except (MilvusException, ValueError) as error:
            if self.address.lite:
                reason = "is another process using it, or was it not made by Milvus Lite?"
            else:
                reason = (
                    "a server answers but refuses the connection: is MILVUS_TOKEN right, is it "
                    f"Milvus, has it started? ({self._clean(error)})"
                )
            raise ConnectionError(f"cannot open {uri}: {reason}") from None

    def call(self, method, *arguments, **options):
        """Call a method of pymilvus' MilvusClient; failures become OSError with the reason."""
        from grpc import RpcError
        from pymilvus.exceptions import MilvusException

        for pause in (*PAUSES, None):
            try:
                # The client itself repeats nothing, so that repetitions are bounded and logged.
                return getattr(self._client, method)(*arguments, retry_times=0, **options)
            except (MilvusException, RpcError, ValueError) as error:
                reason = self._clean(error)
                if pause is None or not _is_transient(error):
                    raise OSError(
                        f"Milvus at {self.address.uri} failed to {method}: {reason}"
                    ) from None
                logger.warning(f"Milvus failed to {method}, trying again in {pause} s: {reason}")
                time.sleep(pause)

    def schema(self):
        """Return an empty schema of a collection."""
        return self._client.create_schema(auto_id=False, enable_dynamic_field=False)

    def index_params(self, field, index_type, metric, params):
        """Return how a vector field is to be indexed."""
        wanted = self._client.prepare_index_params()
        wanted.add_index(field, index_type=index_type, metric_type=metric, params=params)
        return wanted

    def close(self):
        """Disconnect. Milvus Lite writes its data when the process ends."""
        self._client.close()

    def _clean(self, error):
        """Return the reason of an error on one line, without the token."""
        text = " ".join(str(getattr(error, "message", "") or error).split())
        return text.replace(self._token, "***")[:300] if self._token else text[:300]


def _is_transient(error):
    """Whether the same call may succeed later."""
    code = error.code() if callable(getattr(error, "code", None)) else getattr(error, "code", None)
    if getattr(error, "is_input_error", False) or type(error).__name__ == "ParamError":
        return False
    name = getattr(code, "name", None)
    if isinstance(error, ValueError):
        return "closed channel" in str(error)
    return code not in PERMANENT and name not in PERMANENT_RPC


def _require_listener(uri):
    """Raise ConnectionError at once if no server listens; the client would wait for long."""
    import socket
    from urllib.parse import urlsplit

    parts = urlsplit(uri)
    try:
        socket.create_connection((parts.hostname, parts.port), timeout=CONNECT).close()
    except OSError as error:
        reason = error.strerror or error
        raise ConnectionError(f"cannot reach Milvus at {uri}: {reason}; is it running?") from None


def _require_client(lite):
    wanted = ("pymilvus", "milvus_lite") if lite else ("pymilvus",)
    missing = [name for name in wanted if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"a collection needs {' and '.join(missing)}: pip install -r requirements-scale.txt"
        )
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    for name in (*wanted, "grpc"):  # they log each error that they raise, with its traceback
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
