"""Connections to Milvus, whose collections are on a server or in a file of Milvus Lite."""

import importlib.util
import logging
import os
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyimagesearch.indexes.milvus.schema import VectorIndex

logger = logging.getLogger(__name__)

LITE = re.compile(r"(?P<file>.*[^/]\.db)(?:/(?P<name>[^/]*))?/?", re.ASCII)
NAME = re.compile(r"[A-Za-z_]\w{0,199}", re.ASCII)  # of a collection; ours add a suffix to it
FILE_SUFFIXES = (".h5", ".hdf5", ".pickle", ".pkl")  # of index files in a folder called *.db
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


def is_milvus(index: str) -> bool:
    """Whether an index of this name is a collection: http://HOST:PORT/NAME, FILE.db[/NAME]."""
    text = str(index)
    if text.startswith(("http://", "https://")):
        return True
    match = LITE.fullmatch(text)
    return match is not None and not (match["name"] or "").endswith(FILE_SUFFIXES)


@dataclass(frozen=True)
class Address:
    """The address of a collection: `uri` for the client, its `name`, whether it is in a file."""

    uri: str
    name: str
    lite: bool

    def __str__(self) -> str:
        return f"{self.uri}/{self.name}"


def parse_address(index: str) -> Address:
    """Return http(s)://HOST[:PORT]/NAME or FILE.db[/NAME] as an Address, or raise ValueError."""
    if match := LITE.fullmatch(str(index)):
        name = match["name"] or DEFAULT_NAME
        if not NAME.fullmatch(name):
            raise ValueError(
                f"expected a collection as FILE.db/NAME, its name of letters, digits and _, "
                f"received {index}"
            )
        return Address(match["file"], name, True)
    from urllib.parse import urlsplit  # not needed by index files

    parts = urlsplit(str(index))
    if "@" in parts.netloc:  # not repeated in the message, which may end up in a log
        raise ValueError("a user, password or token belongs in MILVUS_TOKEN, not in --index")
    name = parts.path.strip("/")
    try:
        host = parts.hostname
        port = parts.port or DEFAULT_PORT
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

    def __init__(self, address: Address) -> None:
        """Connect. Raises OSError when that fails, ImportError without the client."""
        self.address = address
        self._token = "" if address.lite else os.environ.get("MILVUS_TOKEN", "")
        self._client = self._connect()

    def _connect(self) -> Any:
        _require_client(self.address.lite)
        # Else gRPC, once it runs, keeps Ray from starting the processes of a cluster of its own.
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
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

    def call(self, method: str, *arguments: Any, **options: Any) -> Any:
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

    def has(self, collection: str) -> bool:
        """Whether there is a collection, anybody's, of this name."""
        return bool(self.call("has_collection", collection))

    def schema(self) -> Any:
        """Return an empty schema of a collection."""
        return self._client.create_schema(auto_id=False, enable_dynamic_field=False)

    def index_params(self, vectors: "VectorIndex") -> Any:
        """Return how a vector field is to be indexed, as the client takes it.

        The parameters are sent as one value of the name `params`, which a server and Lite read.
        The client would unpack them, and Lite does not see them then.
        """
        wanted = self._client.prepare_index_params()
        wanted.add_index(
            vectors.field,
            index_type=vectors.kind,
            metric_type=vectors.metric,
            params={"params": vectors.params},
        )
        return wanted

    def close(self) -> None:
        """Disconnect. Milvus Lite writes its data when the process ends."""
        self._client.close()

    def _clean(self, error: Exception) -> str:
        """Return the reason of an error on one line, without the token."""
        text = " ".join(str(getattr(error, "message", "") or error).split())
        if self._token:
            return text.replace(self._token, "***")[:300]
        return text[:300]


def _is_transient(error: Exception) -> bool:
    """Whether the same call may succeed later."""
    code: Any = getattr(error, "code", None)
    if callable(code):
        code = code()
    if getattr(error, "is_input_error", False) or type(error).__name__ == "ParamError":
        return False
    name = getattr(code, "name", None)
    if isinstance(error, ValueError):
        return "closed channel" in str(error)
    return code not in PERMANENT and name not in PERMANENT_RPC


def _require_listener(uri: str) -> None:
    """Raise ConnectionError at once if no server listens; the client would wait for long."""
    import socket
    from urllib.parse import urlsplit

    parts = urlsplit(uri)
    try:
        socket.create_connection((parts.hostname, parts.port), timeout=CONNECT).close()
    except OSError as error:
        reason = error.strerror or error
        raise ConnectionError(f"cannot reach Milvus at {uri}: {reason}; is it running?") from None


def _require_client(lite: bool) -> None:
    wanted = ("pymilvus", "milvus_lite") if lite else ("pymilvus",)
    missing = [name for name in wanted if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"a collection needs {' and '.join(missing)}: pip install -r requirements-scale.txt"
        )
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    for name in (*wanted, "grpc"):  # they log each error that they raise, with its traceback
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
