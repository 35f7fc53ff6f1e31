"""Files elsewhere: a real S3 server and a web server on this machine, and what they refuse."""

from __future__ import annotations

import json
import os
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from makers import imgconv, noise, saved
from PIL import Image
from test_cli import quick

from imgconv.batch import remote
from imgconv.batch.inputs import find_inputs
from imgconv.batch.job import Handling, Work
from imgconv.batch.remote import Remote, hidden, place
from imgconv.batch.targets import Targets, make_jobs
from imgconv.errors import PictureError, UsageError, WriteError
from imgconv.kernels.spec import kernel
from imgconv.recipe.recipe import Recipe

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("aiohttp")
IDENTITY = ("-k", "identity", "--json")
PICTURE = saved(Image.fromarray(noise(12, 16, 3)), "PNG")


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.png").write_bytes(PICTURE)


def run(*words):
    """Exit status, the lines of --json, and what stands on stderr, which is one line for each thing that is wrong."""
    if "s3fs" in sys.modules:
        fsspec.filesystem("s3").invalidate_cache()  # every run sees the bucket as it is
    status, printed, said = quick("apply", *words, *IDENTITY)
    return status, [json.loads(line) for line in printed.splitlines()], said.replace("imgconv: ", "")


# S3


@pytest.fixture(scope="module")
def s3():
    pytest.importorskip("s3fs")
    server_module = pytest.importorskip("moto.server")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*server.get_host_and_port()))
        patch.setenv("AWS_ACCESS_KEY_ID", "the-key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "the-secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False)
    server.stop()


@pytest.fixture
def bucket(s3, request):
    name = f"bucket-{abs(hash(request.node.name))}"
    s3.mkdir(name)
    for way in ("in/b.png", "in/x/y/c.png", "in/raw/d.png", "in/notes.md"):
        s3.pipe_file(f"{name}/{way}", PICTURE)
    s3.pipe_file(f"{name}/in/", b"")  # as consoles mark a folder
    return name


def keys(s3, bucket):
    return {key.removeprefix(f"{bucket}/out/") for key in s3.find(f"{bucket}/out")}


def test_a_bucket_is_walked_and_its_tree_kept(s3, bucket):
    words = (f"s3://{bucket}/in", "-r", "--exclude", "raw", "--out-dir", f"s3://{bucket}/out")
    status, lines, said = run(*words)
    assert (status, said.splitlines()) == (
        0, ["1 file of other kinds passed over", "1 file left out by --include or --exclude"]
    )  # fmt: skip
    done = [line["output"] for line in lines if line["status"] == "done"]
    assert done == [f"s3://{bucket}/out/b.identity.png", f"s3://{bucket}/out/x/y/c.identity.png"]
    assert keys(s3, bucket) == {"b.identity.png", "x/y/c.identity.png"}
    with Image.open(s3.open(f"{bucket}/out/x/y/c.identity.png")) as image:
        assert np.array_equal(np.asarray(image), noise(12, 16, 3))
    status, _, said = run(*words)
    assert status == 2
    assert f"s3://{bucket}/out/b.identity.png: exists (and 1 more); --overwrite replaces" in said
    s3.rm_file(f"{bucket}/out/b.identity.png")
    for option, expected in (("--skip-existing", ["done", "skipped"]), ("--newer", ["skipped", "skipped"])):
        assert [line["status"] for line in run(*words, option)[1] if line["status"] != "passed over"] == expected
    assert [line["status"] for line in run(*words, "--overwrite")[1]][-2:] == ["done", "done"]


def test_processes_share_a_bucket(s3, bucket):
    words = (f"s3://{bucket}/in", "-r", "--out-dir", f"s3://{bucket}/out", "-j", "2")
    done = [line["input"].removeprefix(f"s3://{bucket}/in/") for line in run(*words)[1] if line["status"] == "done"]
    assert done == ["b.png", "raw/d.png", "x/y/c.png"]
    assert len(keys(s3, bucket)) == 3


def test_from_a_bucket_to_here_and_back(s3, bucket):
    assert run(f"s3://{bucket}/in/b.png", "-o", "here.png")[0] == 0
    assert np.array_equal(np.asarray(Image.open("here.png")), noise(12, 16, 3))
    assert run("a.png", "-o", f"s3://{bucket}/out/{{stem}}-{{kernel}}.tif")[0] == 0  # TIFF goes back to its start
    with Image.open(s3.open(f"{bucket}/out/a-identity.tif")) as image:
        assert np.array_equal(np.asarray(image), noise(12, 16, 3))
    assert run(f"s3://{bucket}/in/b.png")[0] == 0
    assert s3.exists(f"{bucket}/in/b.identity.png")
    assert run(f"s3://{bucket}/in/notes.md", "--in-place")[0] == 0  # by its content
    assert run(f"s3://{bucket}/in/b.png", "--format", "npy", "-o", f"s3://{bucket}/out/{{stem}}{{ext}}", "-n")[0] == 0
    assert keys(s3, bucket) == {"a-identity.tif"}


def test_a_large_file_is_read_by_ranges(s3, bucket, monkeypatch):
    monkeypatch.setattr(remote, "WHOLE_BYTES", 2**15)
    np.save("large.npy", noise(150, 200, 3))
    s3.put_file("large.npy", f"{bucket}/in/large.npy")
    assert run(f"s3://{bucket}/in/large.npy", "--out-dir", f"s3://{bucket}/out")[0] == 0
    assert s3.cat_file(f"{bucket}/out/large.identity.npy") == Path("large.npy").read_bytes()


@pytest.mark.parametrize("parts", [1, 3])
def test_an_upload_that_fails_leaves_nothing(s3, bucket, parts):
    def broken():
        for _ in range(parts):
            yield bytes(2**24 + 1 if parts > 1 else 100)
        raise OSError(5, "Input/output error")

    with pytest.raises(WriteError, match=r"out/x.png: input/output error$"):
        remote.put(Remote(f"s3://{bucket}/out/x.png"), broken(), overwrite=True)
    assert keys(s3, bucket) == set()
    assert not s3.list_multipart_uploads(bucket)


def test_what_came_in_between_is_not_replaced(s3, bucket, monkeypatch):
    monkeypatch.setattr(remote, "_info", lambda _: None)  # looked before the other has written
    with pytest.raises(WriteError, match="exists; --overwrite"):
        remote.put(Remote(f"s3://{bucket}/in/b.png"), iter([b"x"]), overwrite=False)
    assert s3.cat_file(f"{bucket}/in/b.png") == PICTURE


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["s3://{}/none.png", "-o", "x.png"], 1, "s3://{}/none.png: not found"),
        (["s3://no-{}/a.png", "-o", "x.png"], 1, "s3://no-{}/a.png: the specified bucket does not exist"),
        (["s3://no-{}/in", "-r"], 1, "s3://no-{}/in: the specified bucket does not exist"),
        (["s3://{}/in/"], 2, "s3://{}/in/: is a folder; -r walks it"),
        (["a.png", "--out-dir", "s3://no-{}"], 2, "s3://no-{}: the specified bucket does not exist"),
        (["a.png", "--out-dir", "s3://no-{}/x", "--overwrite"], 1,
         "s3://no-{}/x/a.identity.png: the specified bucket does not exist"),
        (["a.png", "s/a.png", "--out-dir", "s3://{}"], 2, "would both be written to s3://{}/a.identity.png"),
        (["a.png", "s3://{}/in/b.png", "-o", "s3://{}/in/{{stem}}.png", "--overwrite"], 2, "is an input"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_one_line(bucket, words, status, told):
    found, _, said = run(*(word.format(bucket, bucket) for word in words))
    assert (found, said.count("\n")) == (status, 1)
    assert told.format(bucket) in said


def test_missing_credentials_are_one_line(bucket):
    bare = {name: value for name, value in os.environ.items() if "KEY" not in name}
    done = imgconv("apply", f"s3://{bucket}/in/b.png", "-k", "blur", "-o", "x.png", env=bare | {"HOME": "/nowhere"})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"imgconv: s3://{bucket}/in/b.png: unable to locate credentials\n"


# the web


class Ranged(SimpleHTTPRequestHandler):
    """Serves the folder; `Range` is obeyed, which the standard library does not do."""

    asked: ClassVar[list[str]] = []
    most = 1000

    def log_message(self, *_):
        pass

    def do_GET(self):
        wanted = self.headers.get("Range")
        self.asked.append(wanted or "all")
        if len(self.asked) > self.most:
            self.send_error(500, "Tired")
            return
        if wanted is None or self.path.endswith("/"):
            super().do_GET()
            return
        data = Path(self.translate_path(self.path)).read_bytes()
        first, last = (int(number) for number in wanted.removeprefix("bytes=").split("-"))
        body = data[first : last + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{first + len(body) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Plain(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Refusing(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        self.send_error(403, "Forbidden")

    do_HEAD = do_GET


@contextmanager
def web(handler):
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_picture_comes_from_the_web_and_its_key_is_not_printed():
    with web(Plain) as address:
        signed = f"{address}/a.png?signature=the-key".replace("//", "//me:the-word@")
        status, (line,), said = run(signed, "--out-dir", "out")
    assert (status, said) == (0, "")
    assert line["input"].endswith("/a.png?…")
    assert not {"the-key", "the-word"} & set(json.dumps(line).split('"'))
    assert "the-" not in json.dumps(line) + said
    assert np.array_equal(np.asarray(Image.open("out/a.identity.png")), noise(12, 16, 3))


@pytest.mark.parametrize("handler", [Ranged, Plain])
def test_large_files_with_ranges_and_without(handler, monkeypatch):
    monkeypatch.setattr(remote, "WHOLE_BYTES", 2**15)
    np.save("large.npy", noise(150, 200, 3))
    Ranged.asked.clear()
    with web(handler) as address:
        assert run(f"{address}/large.npy", "-o", "out.npy")[0] == 0
    assert Path("out.npy").read_bytes() == Path("large.npy").read_bytes()
    assert "all" not in Ranged.asked


def test_a_server_that_fails_in_the_middle_is_one_line(monkeypatch):
    monkeypatch.setattr(remote, "WHOLE_BYTES", 2**15)
    monkeypatch.setattr(Ranged, "most", 2)
    Ranged.asked.clear()
    np.save("large.npy", noise(1500, 200, 3))
    with web(Ranged) as address:
        found = run(f"{address}/large.npy", "-o", "out.npy")
    assert (found[0], found[2]) == (1, f"{address}/large.npy: the server says 500 Tired\n")
    assert sorted(os.listdir()) == ["a.png", "large.npy"]


def test_a_page_is_walked_as_a_folder():
    Path("in/x").mkdir(parents=True)
    for name in ("in/b.png", "in/x/c.png", "in/notes.md"):
        Path(name).write_bytes(PICTURE)
    with web(Plain) as address:
        status, lines, _ = run(f"{address}/in/", "-r", "--out-dir", "out", "--exclude", "b.*")
    assert (status, lines[-1]["output"]) == (0, "out/x/c.identity.png")
    assert sorted(os.listdir("out")) == ["x"]


def test_what_the_web_refuses_is_one_line():
    with web(Refusing) as address:
        found = run(f"{address}/a.png", "-o", "x.png")
        assert (found[0], found[2]) == (1, f"{address}/a.png: the server says 403 Forbidden\n")
    with web(Plain) as address:
        found = run(f"{address}/none.png", "-o", "x.png")
        assert (found[0], found[2]) == (1, f"{address}/none.png: the server says 404 File not found\n")
        found = run(f"{address}/a.png")
        assert found[0] == 2
        assert "http:// is only read from; --out-dir or --output says where" in found[2]
    found = run(f"{address}/a.png", "-o", "x.png")  # nobody is there any more
    assert (found[0], found[2].count("\n")) == (1, 1)
    assert "connect" in found[2]


# memory, and files


def in_memory(*names, **targets):
    given = Targets(**targets)
    jobs, _ = make_jobs(find_inputs(names, given, True).files, "identity", given)
    return [Work(Recipe((kernel("identity"),)), given, Handling())(job) for job in jobs]


def test_memory_goes_in_and_out():
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/in/a.png", PICTURE)
    memory.pipe_file("/in/../up/evil.png", PICTURE)
    (found,) = in_memory("memory://in", out_dir=place("memory://out"))
    assert (found.status, found.job.only_here) == ("done", True)
    assert memory.find("/out") == ["/out/a.identity.png"]
    with pytest.raises(UsageError, match="exists"):
        in_memory("memory://in", out_dir=place("memory://out"))
    memory.rm("/in", recursive=True)
    memory.rm("/out", recursive=True)


def test_where_files_are_files_a_result_has_another_name_until_it_is_complete(tmp_path):
    seen = []

    def parts():
        yield b"one"
        seen.extend(os.listdir(tmp_path / "new"))
        raise KeyboardInterrupt

    there = Remote(f"file://{tmp_path}/new/x.png")
    with pytest.raises(KeyboardInterrupt):
        remote.put(there, parts(), overwrite=False)
    assert [name[:9] for name in seen] == [".imgconv-"]
    assert os.listdir(tmp_path / "new") == []
    remote.put(there, iter([b"one", b"two"]), overwrite=False)
    with pytest.raises(WriteError, match="exists"):
        remote.put(there, iter([b"three"]), overwrite=False)
    assert (tmp_path / "new/x.png").read_bytes() == b"onetwo"
    assert remote.changed(there) == pytest.approx(os.stat(tmp_path / "new/x.png").st_mtime_ns, abs=1e4)


def test_names_that_lead_upwards_are_no_inputs(monkeypatch):
    entries = [{"name": f"/in/{name}", "type": "file"} for name in ("..", ".", "", "a.png", "x/y.png")]
    monkeypatch.setattr(fsspec.filesystem("memory"), "ls", lambda *_, **__: entries)
    assert remote.listed(Remote("memory://in")) == [("a.png", False)]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:word@host/a.png", "https://…@host/a.png"),
        ("could not read http://host/a.png?key=1&b=2 at all", "could not read http://host/a.png?… at all"),
        ("s3://bucket/a?b.png", "s3://bucket/a?b.png"),
        ("sftp://me@host/x@y.png", "sftp://…@host/x@y.png"),
    ],
)
def test_what_gives_access_is_hidden(text, shown):
    assert hidden(text) == shown


def test_a_name_elsewhere_has_parts_like_a_path():
    here = place("https://host/x/a.b.png?width=3/4#5")
    assert (here.name, here.stem, here.suffix, here.parent) == ("a.b.png", "a.b", ".png", Remote("https://host/x"))
    assert place("s3://bucket/x//a#1.png").name == "a#1.png"
    assert isinstance(place("C://x.png"), Path)


# what is not installed


def test_without_fsspec_it_is_said_what_to_install(tmp_path):
    (tmp_path / "fsspec.py").write_text("raise ImportError\n")
    bare = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = imgconv("apply", "s3://bucket/a.png", "-k", "blur", env=bare)
    assert (done.returncode, done.stderr) == (2, "imgconv: s3:// needs fsspec: pip install 'imgconv[remote]'\n")
    assert imgconv("apply", "a.png", "-k", "blur", env=bare).returncode == 0  # not imported for files here


@pytest.mark.parametrize(
    ("name", "told"),
    [("nix://a.png", "no such protocol is known"), ("abfs://x/a.png", "pip install 'imgconv[remote]'")],
)
def test_a_protocol_that_nobody_serves_is_refused(name, told):
    status, lines, said = run("a.png", "-o", name)
    assert (status, lines, said.count("\n")) == (2, [], 1)
    assert told in said
    with pytest.raises((UsageError, PictureError)):
        remote.opened(Remote(name))
