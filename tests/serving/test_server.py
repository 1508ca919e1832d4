"""What the page's server gives out, to whom, and how it begins and ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from s3prl_plugins.cli import main
from s3prl_plugins.errors import ConfigError
from s3prl_plugins.inference.model import Model
from s3prl_plugins.serving import server
from s3prl_plugins.serving.limits import Limits
from s3prl_plugins.serving.page import Desk
from s3prl_plugins.serving.uploads import sweep, upload_folder

if TYPE_CHECKING:
    from tests.serving.conftest import Site

httpx = pytest.importorskip("httpx", reason="needs the extra `serve`")
SENT = {"meta": {"_type": "gradio.FileData"}}


def upload(site: Site, path: Path) -> str:
    reply = httpx.post(f"{site.url}/gradio_api/upload", files={"files": (path.name, path.read_bytes())})
    return str(reply.raise_for_status().json()[0])


def ask(site: Site, upload: dict[str, Any], event: int = 0) -> dict[str, Any]:
    """The last message of an event of the page."""
    data = [SENT | upload] if event == 0 else [SENT | upload, None]
    body = {"data": data, "fn_index": event, "session_hash": f"s{time.monotonic_ns()}"}
    httpx.post(f"{site.url}/gradio_api/queue/join", json=body).raise_for_status()
    with httpx.stream(
        "GET", f"{site.url}/gradio_api/queue/data?session_hash={body['session_hash']}", timeout=30
    ) as got:
        for line in got.iter_lines():
            message = json.loads(line[6:]) if line.startswith("data: ") else {}
            if message.get("msg") == "process_completed":
                return dict(message)
    raise AssertionError("no answer")


def test_an_upload_is_answered_as_the_model_answers_and_deleted(
    site: Site, superb_tiny: Model, vowels: Callable[..., Path]
) -> None:
    message = ask(site, {"path": upload(site, vowels())})
    expected = json.loads(json.dumps({**superb_tiny(vowels()).as_dict(), "name": "vowels.wav"}))
    assert message["success"] and message["output"]["data"][0] == _about(expected)
    assert site.empty()


def _about(value: Any) -> Any:
    """Threads may add up in another order."""
    if isinstance(value, dict):
        return {name: _about(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_about(inner) for inner in value]
    return pytest.approx(value, rel=1e-3, abs=1e-3) if isinstance(value, float) else value


def test_a_fault_is_told_and_its_file_deleted(site: Site, tmp_path: Path, vowels: Callable[..., Path]) -> None:
    (tmp_path / "notes.wav").write_text("not audio")
    for path, rule in ((tmp_path / "notes.wav", "cannot be read"), (vowels("long.wav", 11.0), "may last 10 s")):
        message = ask(site, {"path": upload(site, path)})
        answers, page, taken_off = message["output"]["data"]
        assert answers is None and taken_off is None and rule in page and str(site.folder) not in page
        assert site.empty()


def test_files_above_the_limit_are_not_taken(site: Site, tmp_path: Path) -> None:
    (tmp_path / "big.wav").write_bytes(bytes((1 << 20) + 1))
    reply = httpx.post(
        f"{site.url}/gradio_api/upload", files={"files": ("big.wav", (tmp_path / "big.wav").read_bytes())}
    )
    assert reply.status_code == 413
    assert site.empty()


@pytest.mark.parametrize("event", [0, 1])
def test_nothing_but_uploads_is_heard(site: Site, event: int, vowels: Callable[..., Path]) -> None:
    made = vowels()
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.settimeout(0.2)
        address = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/a.wav"
        link = site.folder / "link.wav"
        link.symlink_to(made)
        places = ("/etc/passwd", str(made), f"{site.folder}/../{made.name}", str(link), str(site.folder), address)
        for place in places:
            for more in ({}, {"is_stream": True}, {"url": address}):
                message = ask(site, {"path": place, **more}, event)
                assert not message["success"] and "data" not in message["output"], (place, more)
        link.unlink()
        # An address beside an upload is not followed either.
        assert ask(site, {"path": upload(site, made), "url": address}, event)["success"]
        with pytest.raises(TimeoutError):
            elsewhere.accept()
    assert made.exists() and site.folder.exists()


@pytest.mark.parametrize(
    "route",
    [
        "file=/etc/passwd", "file=%2Fetc%2Fpasswd", "file=../../../../etc/passwd", "file=http://127.0.0.1:9/", "file=https://a.b/",
        "file=" + __file__, "proxy=https://a.hf.space/", "deep_link?session_hash=a", "vibe-code", "runs", "openapi.json",
    ],
)  # fmt: skip
def test_no_route_gives_out_files_or_fetches_addresses(site: Site, route: str) -> None:
    assert httpx.get(f"{site.url}/gradio_api/{route}").status_code in (403, 404)


def test_no_request_makes_a_file_readable(site: Site, tmp_path: Path) -> None:
    drawing = tmp_path / "a.svg"
    drawing.write_text("<svg/>")
    assert not ask(site, {"path": str(drawing), "is_stream": True})["success"]
    assert httpx.get(f"{site.url}/gradio_api/file={drawing}").status_code == 403


def test_what_was_never_sent_harms_nothing(site: Site) -> None:
    message = ask(site, {"path": str(site.folder / "never.wav")})
    assert "the file is gone" in message["output"]["data"][1] and site.folder.exists()


def test_the_folder_of_uploads_is_not_listed(site: Site) -> None:
    assert httpx.get(f"{site.url}/gradio_api/file={site.folder}").status_code in (403, 404)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "elsewhere.example"}, 403),
        ({"host": "127.0.0.1.elsewhere.example:80"}, 403),
        ({"origin": "https://elsewhere.example"}, 403),
        ({"origin": "null"}, 403),
        ({"host": "localhost:7860"}, 200),
    ],
)
def test_pages_of_other_sites_stay_out(site: Site, headers: dict[str, str], status: int) -> None:
    reply = httpx.get(f"{site.url}/config", headers=headers)
    assert reply.status_code == status
    assert "access-control-allow-origin" not in reply.headers


def test_the_browser_is_told_to_load_nothing_from_elsewhere(site: Site) -> None:
    assert httpx.get(site.url).headers["content-security-policy"].startswith("default-src 'self'")


def test_a_model_without_asv_has_no_second_tab(superb_tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    gradio = pytest.importorskip("gradio", reason="needs the extra `serve`")
    from s3prl_plugins.serving.page import build_page

    def tabs() -> int:
        blocks = build_page("m", Desk(superb_tiny, Limits(), Path("uploads"))).blocks.values()
        return sum(isinstance(block, gradio.Tab) for block in blocks)

    assert tabs() == 2
    monkeypatch.setattr(superb_tiny, "tasks", ("asr", "ks"))
    assert tabs() == 0


def test_uploads_that_nobody_answers_are_swept(tmp_path: Path) -> None:
    import asyncio

    before = os.environ.get("GRADIO_TEMP_DIR")
    with upload_folder() as folder:
        assert os.environ["GRADIO_TEMP_DIR"] == str(folder) and folder.stat().st_mode & 0o077 == 0
        (folder / "sent").mkdir()
        (folder / "sent" / "a.wav").write_text("a")
        (folder / "partial").write_text("a")
        with pytest.raises(TimeoutError):
            asyncio.run(asyncio.wait_for(sweep(folder, age=0.0, every=0.01), 0.3))
        assert not list(folder.iterdir())
    assert not folder.exists() and os.environ.get("GRADIO_TEMP_DIR") == before


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("::", False), ("10.1.2.3", False)],
)
def test_which_hosts_only_this_machine_reaches(host: str, loopback: bool) -> None:
    assert server.is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["superb_tiny", "--max-seconds", "0"], "--max-seconds must be above 0"),
        (["superb_tiny", "--max-megabytes", "nan"], "--max-megabytes must be at least 0"),
        (["superb_tiny", "--port", "70000"], r"--port must be at most 65,535, found 70000"),
        (["superb_tiny", "--host", "no such host", "--port", "0"], "cannot listen on no such host port 0"),
        (["superb_tinny", "--port", "0"], "no model 'superb_tinny'.*did you mean 'superb_tiny'"),
    ],
)  # fmt: skip
def test_faults_are_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("gradio", reason="needs the extra `serve`")
    import re

    assert main(["serve", *words]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert re.search(f"^s3prl-plugins serve: .*{message}", line)


def test_a_port_in_use_is_one_line() -> None:
    with server.listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"^cannot listen on 127.0.0.1 port {port} \(.*in use\); choose another"):
            server.listen("127.0.0.1", port)


def test_without_gradio_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(ConfigError, match=r"^serve needs gradio .*: pip install 's3prl-plugins\[serve\]'$"):
        server.check_gradio()


def test_other_machines_are_warned_of(superb_tiny: Model, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    uvicorn = pytest.importorskip("uvicorn", reason="needs the extra `serve`")
    monkeypatch.setattr(server, "build_app", lambda *_: None)
    monkeypatch.setattr(uvicorn.Server, "run", lambda *_, **__: None)
    for host, lines in (("0.0.0.0", 1), ("127.0.0.1", 0)):
        server.serve("m", superb_tiny, Limits(), server.listen(host, 0), browser=False)
        assert capsys.readouterr().err.count("can be reached from other machines") == lines


def test_an_interrupt_ends_it_without_noise_or_files(tmp_path: Path) -> None:
    pytest.importorskip("gradio", reason="needs the extra `serve`")
    words = [
        sys.executable,
        "-m",
        "s3prl_plugins.cli",
        "serve",
        "superb_tiny",
        "--no-browser",
        "--port",
        "0",
        "--device",
        "cpu",
    ]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    address = process.stdout.readline().split()[3]
    assert address.startswith("http://127.0.0.1:") and [path.name[:19] for path in tmp_path.iterdir()] == [
        "s3prl_plugins_serve"
    ]
    page = threading.Thread(target=_stay, args=[address])
    page.start()
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, noise = process.communicate(timeout=60)
    page.join()
    assert process.returncode == 130 and noise == "s3prl-plugins serve: interrupted\n"
    assert not list(tmp_path.iterdir())
    assert tempfile.gettempdir() != str(tmp_path)


def _stay(address: str) -> None:
    """An open page: the connection lasts until the server ends."""
    try:
        with httpx.stream("GET", f"{address}gradio_api/heartbeat/a", timeout=60) as reply:
            list(reply.iter_text())
    except httpx.HTTPError:
        pass
