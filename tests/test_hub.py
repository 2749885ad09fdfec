"""Networks by name, from a hub on this machine, by the hub's own client."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest
from hub_server import COMMIT, REPOSITORY, Hub, serving
from picture_files import fill

import index_images
import search
from pyimagesearch import terminal
from pyimagesearch.encoders import hub as hub_model
from pyimagesearch.encoders import hub_client
from pyimagesearch.encoders.hub import HubModel, HubReference, find_network, needed_files
from pyimagesearch.encoders.hub_client import LinesOfBar, Listing, RemoteFile, list_files
from tests import onnx_exports as exports
from tests.scripts import ROOT

pytest.importorskip("huggingface_hub")

CHUNK = 10 << 20  # bytes that the client writes at once
SECRET = "hf_a_secret_token"
NAMED = f"hf:{REPOSITORY}"


@pytest.fixture(scope="session")
def clip_files(tmp_path_factory):
    """The files of a repository with CLIP, and others that are not needed."""
    folder = tmp_path_factory.mktemp("clip")
    exports.save_clip(folder)
    files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}
    return {**files, "README.md": b"CLIP", "pytorch_model.bin": b"weights", "tf_model.h5": b"more"}


@pytest.fixture
def hub(clip_files):
    """A hub with CLIP that is being served, as `hub.url`."""
    hub = Hub(dict(clip_files))
    with serving(hub) as hub.url:
        yield hub


@pytest.fixture
def pictures(tmp_path):
    fill(tmp_path / "pictures", "a.png", "b.png")
    return tmp_path / "pictures"


class User:
    """Runs index_images.py in a process of its own, since the client reads its settings once."""

    def __init__(self, tmp_path, pictures):
        self.folder, self.pictures = tmp_path, pictures
        self.index = tmp_path / "index.pickle"
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("HF_")},
            "HF_HOME": str(tmp_path / "hf"),
            "HF_TOKEN": SECRET,
        }

    def run(self, model, *more, url, **environment):
        """Return the exit status and standard error."""
        command = [sys.executable, str(ROOT / "index_images.py"), "--model", model, *more]
        command += ["--dataset", str(self.pictures), "--index", str(self.index)]
        done = subprocess.run(
            command,
            env={**self.environment, "HF_ENDPOINT": url, **environment},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert SECRET not in done.stdout + done.stderr
        return done.returncode, done.stderr

    def fails(self, model, *more, **settings):
        """Return the one line of error."""
        status, message = self.run(model, *more, **settings)
        assert status == 1, message
        lines = [line for line in message.splitlines() if "[INFO]" not in line]
        assert len(lines) == 1, message
        return lines[0]

    def model(self):
        """Return the name of the model that the index holds."""
        from pyimagesearch.indexes.index_file import load_index

        return load_index(self.index).encoder.model


@pytest.fixture
def user(tmp_path, pictures):
    return User(tmp_path, pictures)


def fetched(hub):
    return {path for command, path, _ in hub.requests if command == "GET" and "resolve" in path}


# --- names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf:a/b", HubReference("a/b")),
        ("hf:a/b@v1", HubReference("a/b", "v1")),
        ("hf:a/b#fp16", HubReference("a/b", None, "fp16")),
        (
            "hf:a/b.c@refs/pr/1#onnx/model.onnx",
            HubReference("a/b.c", "refs/pr/1", "onnx/model.onnx"),
        ),
    ],
)
def test_names(text, expected):
    assert HubReference.parse(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize("text", ["hf:", "hf:a", "hf:a/b/c", "hf:a/b@", "hf:../b", "hf:a/b#../c"])
def test_another_form_is_refused(text):
    with pytest.raises(ValueError, match="expected hf:OWNER/NAME"):
        HubReference.parse(text)


@pytest.mark.parametrize(
    "name", ["-a/b", "a-/b", "a/-b", "a/b.", ".a/b", "a--b/c", "a/b.git", f"a/{'b' * 97}"]
)
def test_a_name_that_the_client_of_the_hub_refuses_is_refused_before(name):
    validators = pytest.importorskip("huggingface_hub.utils")
    with pytest.raises(validators.HFValidationError):
        validators.validate_repo_id(name)
    with pytest.raises(ValueError, match="expected hf:OWNER/NAME"):
        HubReference.parse(f"hf:{name}")


def files(*names):
    return {name: RemoteFile(1, "") for name in names}


PRECISIONS = files(
    *("onnx/vision_model.onnx", "onnx/vision_model_fp16.onnx", "onnx/text_model.onnx"),
    *("onnx/text_model_fp16.onnx", "onnx/model.onnx", "onnx/model.onnx_data", "config.json"),
    *("tokenizer.json", "preprocessor_config.json", "README.md", "model.safetensors"),
)


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (None, "onnx/vision_model.onnx"),
        ("fp16", "onnx/vision_model_fp16.onnx"),
        ("model", "onnx/model.onnx"),
        ("onnx/model.onnx", "onnx/model.onnx"),
        ("vision_model_fp16", "onnx/vision_model_fp16.onnx"),
    ],
)
def test_the_network_that_is_meant(network, expected):
    assert find_network(HubReference("a/b", network=network), PRECISIONS) == expected


def test_a_network_that_is_not_there_lists_those_that_are():
    with pytest.raises(FileNotFoundError, match=r"it has onnx/model\.onnx, onnx/text_model\.onnx"):
        find_network(HubReference("a/b", network="q4"), PRECISIONS)
    with pytest.raises(FileNotFoundError, match=r"it has no \.onnx file"):
        find_network(HubReference("a/b"), files("model.safetensors"))


def test_texts_are_encoded_in_the_precision_of_images():
    settings = ["config.json", "preprocessor_config.json", "tokenizer.json"]
    found = needed_files("onnx/vision_model_fp16.onnx", PRECISIONS)
    networks = ["onnx/text_model_fp16.onnx", "onnx/vision_model_fp16.onnx"]
    assert found == sorted([*settings, *networks])


def test_weights_beside_a_network_are_needed():
    weights = ("model.onnx_data", "model.onnx_data_1", "model.onnx.data", "model.data")
    others = ("model.onnx_data.bak", "model.onnx_fp16", "model.onnx/evil", "modelXdata")
    assert needed_files("model.onnx", files("model.onnx", *weights, *others)) == sorted(
        ["model.onnx", *weights]
    )


def listed(monkeypatch, *, sha=COMMIT, **entry):
    """Return the Listing of a hub that lists one file, named `sound`, and one with an `entry`."""
    values = {"rfilename": "other", "size": 1, "blob_id": "b" * 40, "lfs": None}
    siblings = [SimpleNamespace(**values | {"rfilename": "sound"})]
    siblings.append(SimpleNamespace(**values | entry))
    info = SimpleNamespace(sha=sha, siblings=siblings)
    api = SimpleNamespace(model_info=lambda *_, **settings: info)
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: api)
    return list_files(REPOSITORY)


@pytest.mark.parametrize("name", [5, None, ["a"], "../a", "/a", "a/../../b", "a\nb", "a\x1b[31m"])
def test_names_that_are_none_are_left_out_of_a_listing(monkeypatch, name):
    assert list(listed(monkeypatch, rfilename=name).files) == ["sound"]


@pytest.mark.parametrize(
    "entry",
    [
        *({"size": size} for size in (-5, None, "1", 1.5, [1])),
        *({"blob_id": digest} for digest in (None, 5, "", "../../evil", "b" * 41)),
        *({"lfs": SimpleNamespace(sha256=digest)} for digest in (None, "../../evil")),
    ],
)
def test_files_without_a_size_or_a_hash_are_refused(monkeypatch, entry):
    """They could be of any size and content, and the client names files after their hashes."""
    with pytest.raises(OSError, match="does not give the size and hash of each file of owner/"):
        listed(monkeypatch, **entry)


@pytest.mark.parametrize("sha", [None, 5, "", "../../evil", "c" * 41])
def test_a_listing_without_a_commit_is_refused(monkeypatch, sha):
    with pytest.raises(OSError, match="does not say which commit"):
        listed(monkeypatch, sha=sha)


@pytest.mark.parametrize("drawn", [False, True])
def test_a_file_longer_than_it_is_listed_is_not_fetched_to_its_end(monkeypatch, drawn):
    monkeypatch.setattr(hub_client, "shows_bars", lambda: drawn)
    bar = hub_client.bar_of(100)(desc="a file", total=None, initial=40, unit="B", disable=True)
    bar.update(60)
    with pytest.raises(OSError, match="sends more than the 100 bytes that it lists"):
        bar.update(1)


@pytest.mark.parametrize(
    ("sizes", "reason"), [([0] * 1000, "1,001 files"), ([2**31, 2**31], "files of 4.0 GB")]
)
def test_more_than_two_networks_are_not_fetched(monkeypatch, sizes, reason):
    """The weights that a network names in other files count too."""
    remote = {f"part {number}": RemoteFile(size, "b" * 40) for number, size in enumerate(sizes)}
    remote["model.onnx"] = RemoteFile(1, "b" * 40)
    model = HubModel(HubReference("a/b"))
    monkeypatch.setattr(hub_model, "list_files", lambda *_: Listing(COMMIT, remote))
    monkeypatch.setattr(HubModel, "_download", lambda *_: Path())
    monkeypatch.setattr(
        HubModel, "_weights_elsewhere", lambda *_: sorted(set(remote) - {"model.onnx"})
    )
    with pytest.raises(ValueError, match=reason):
        model.fetch()


def test_a_network_that_is_none_is_named(monkeypatch, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    remote = {"model.onnx": RemoteFile(42, "b" * 40)}
    monkeypatch.setattr(hub_model, "list_files", lambda *_: Listing(COMMIT, remote))
    monkeypatch.setattr(HubModel, "_download", lambda *_: tmp_path)
    with pytest.raises(ValueError, match=r"cannot use model\.onnx of hf:a/b@c+#model\.onnx: it "):
        HubModel(HubReference("a/b")).fetch()


# --- fetching


def test_a_network_is_fetched_indexed_and_not_fetched_again(hub, user, clip_files):
    status, message = user.run(NAMED, url=hub.url)
    assert status == 0, message
    names = set(clip_files) - {"README.md", "pytorch_model.bin", "tf_model.h5"}
    assert {path.partition("/main/")[2] for path in fetched(hub)} == names
    assert f"MB of {REPOSITORY}" in message
    assert user.model().startswith(f"{NAMED}@{COMMIT}#")
    assert hub.tokens == {f"Bearer {SECRET}"}

    hub.requests.clear()
    status, message = user.run(NAMED, url=hub.url)
    assert (status, hub.requests) == (0, [])  # the index holds the network and its commit
    assert "fetching" not in message
    flags = ["--index", str(user.index), "--model", NAMED, "--json"]
    assert search.main([*flags, "--query", str(user.pictures / "a.png")]) == 0


def test_codes_are_those_of_the_same_files_in_a_folder(hub, user, clip_files, tmp_path):
    assert user.run(NAMED, url=hub.url)[0] == 0
    by_name = search_result(user.index)
    for name, content in clip_files.items():
        file = tmp_path / "copy" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    arguments = ["--model", str(tmp_path / "copy"), "--dataset", str(user.pictures)]
    assert index_images.main([*arguments, "--index", str(tmp_path / "folder.pickle")]) == 0
    assert search_result(tmp_path / "folder.pickle") == by_name


def search_result(index):
    """Return the codes of an index, in the order of its ids."""
    from pyimagesearch.indexes.index_file import load_index

    return load_index(index).load().codes.tolist()


def test_a_cut_download_is_continued(hub, user):
    large = onnx.load_from_string(hub.files["onnx/vision_model.onnx"])
    large.doc_string = "x" * 2 * CHUNK
    hub.files["onnx/vision_model.onnx"] = large.SerializeToString()
    hub.cut["onnx/vision_model.onnx"] = CHUNK + 1000
    status, message = user.run(NAMED, url=hub.url)
    assert status == 0, message
    assert f"bytes={CHUNK}-" in {given for _, _, given in hub.requests}


def test_progress_without_a_terminal_is_lines(monkeypatch, caplog):
    monkeypatch.setattr(terminal, "LINE_SECONDS", 0)
    bar = LinesOfBar(desc="model.onnx", total=1000, initial=200, unit="B")
    bar.update(300)
    assert re.search("fetching model.onnx: 500 of 1,000 bytes, about .* left", caplog.text)


@pytest.mark.slow
def test_large_files_may_be_elsewhere(hub, user):
    hub.redirect = True
    status, message = user.run(NAMED, url=hub.url)
    assert status == 0, message
    assert any(path.startswith("elsewhere/") for _, path, _ in hub.requests)


def test_content_with_another_hash_is_refused_and_removed(hub, user):
    [name, *_] = [name for name in hub.files if name.endswith(".onnx")]
    hub.changed[name] = bytes(len(hub.files[name]))
    message = user.fails(NAMED, url=hub.url)
    assert f"{Path(name).name} has the hash" in message
    hub.changed.clear()
    assert user.run(NAMED, url=hub.url)[0] == 0


@pytest.mark.slow
def test_a_file_of_settings_with_another_hash_is_refused(hub, user):
    name = "preprocessor_config.json"
    hub.changed[name] = bytes(len(hub.files[name]))
    assert f"{name} has the hash" in user.fails(NAMED, url=hub.url)


@pytest.mark.slow
def test_content_that_is_too_short_is_refused(hub, user):
    [name, *_] = [name for name in hub.files if name.endswith(".onnx")]
    size = len(hub.files[name])
    hub.changed[name] = hub.files[name][: size // 2]
    assert f"cannot fetch {name} of {REPOSITORY}" in user.fails(NAMED, url=hub.url)


def test_what_is_not_there_is_named(hub, user):
    assert "no repository other/network" in user.fails("hf:other/network", url=hub.url)
    assert "has no revision v9" in user.fails(f"{NAMED}@v9", url=hub.url)
    assert "has no network q4: it has onnx/" in user.fails(f"{NAMED}#q4", url=hub.url)


@pytest.mark.slow
def test_weights_in_another_file_are_fetched(hub, user, tmp_path):
    exports.save_vision(tmp_path / "model.onnx", ["image_embeds"])
    exports.place_weights(tmp_path / "model.onnx", "parts/w.bin")
    hub.files = {
        "model.onnx": (tmp_path / "model.onnx").read_bytes(),
        "parts/w.bin": (tmp_path / "parts" / "w.bin").read_bytes(),
        "preprocessor_config.json": json.dumps(exports.CLIP).encode(),
    }
    status, message = user.run(NAMED, url=hub.url)
    assert status == 0, message


# --- the revision


def test_another_commit_is_refused_unless_it_is_not_asked_for(hub, user):
    assert user.run(NAMED, url=hub.url)[0] == 0
    hub.commit = "d" * 40
    assert user.run(NAMED, url=hub.url)[0] == 0  # the index stays with its commit
    message = user.fails(f"{NAMED}@main", url=hub.url)
    assert f"made with another model, {NAMED}@{COMMIT}" in message
    assert user.run(f"{NAMED}@main", "--rebuild", url=hub.url)[0] == 0
    assert user.model().startswith(f"{NAMED}@{hub.commit}#")


# --- without network


def closed_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_the_cache_is_used_without_network_and_need_not_be_writable(hub, user, tmp_path):
    assert user.run(NAMED, url=hub.url)[0] == 0
    for offline in ("", "1"):
        user.index.unlink()
        status, message = user.run(NAMED, url=closed_port(), HF_HUB_OFFLINE=offline)
        assert status == 0, message
        assert "files in the cache are used" in message
        assert user.model().startswith(f"{NAMED}@{COMMIT}#")
    user.index.unlink()
    folders = [p for p in (tmp_path / "hf").rglob("*") if p.is_dir() and not p.is_symlink()]
    for folder in folders:
        folder.chmod(0o555)
    status, message = user.run(NAMED, url=hub.url)
    for folder in folders:
        folder.chmod(0o755)
    assert status == 0, message


@pytest.mark.parametrize("offline", ["", "1"])
def test_without_network_and_cache_one_line_says_so(user, offline):
    message = user.fails(NAMED, url=closed_port(), HF_HUB_OFFLINE=offline)
    assert f"cannot list the files of {REPOSITORY}, which is not in the cache" in message


def test_a_cache_that_cannot_be_written_is_named_in_one_line(hub, user, tmp_path):
    (tmp_path / "hf").write_text("no folder")
    assert f"of {REPOSITORY}" in user.fails(NAMED, url=hub.url)


def test_a_link_out_of_the_cache_is_neither_read_nor_removed(monkeypatch, tmp_path):
    """A file of another content than the hub lists is removed, which would be the user's own."""
    own = tmp_path / "own.json"
    own.write_text("{}")
    name = "preprocessor_config.json"
    snapshot = tmp_path / f"models--{REPOSITORY.replace('/', '--')}" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / name).symlink_to(own)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **where: str(own))
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_, **where: snapshot / name)
    listing = Listing(COMMIT, {name: RemoteFile(2, "b" * 40)})
    with pytest.raises(OSError, match=f"{name} leads out of the cache of {REPOSITORY}"):
        hub_client.download([name], listing, REPOSITORY)
    assert own.read_text() == "{}"


def test_without_the_client_the_install_command_is_named(user, hub, monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    arguments = ["--model", NAMED, "--dataset", str(user.pictures)]
    assert index_images.main([*arguments, "--index", str(tmp_path / "i.pickle")]) == 1
    assert "pip install huggingface_hub" in capsys.readouterr().err
