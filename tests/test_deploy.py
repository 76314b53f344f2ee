"""The Dockerfile, and the systemd units of docs/how-to/deploy.md, which nothing here installs."""

from __future__ import annotations

import http.server
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")

EXPOSED = 30
"""Of systemd's 100 for a service that nothing holds back; it calls up to 49 fine."""


def words_after(instruction: str) -> list[str]:
    """The words of the last such instruction, which is in JSON."""
    *_, found = re.finditer(rf"^{instruction}.*?(\[.*?\])$", DOCKERFILE, re.MULTILINE | re.DOTALL)
    words: list[str] = json.loads(found[1])
    return words


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    hadolint = shutil.which("hadolint") or pytest.skip("hadolint, of the extra lint, is missing")
    ran = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, check=False)
    assert ran.returncode == 0, ran.stdout.decode()


def test_the_image_gets_the_package_and_no_data() -> None:
    first, *others = (
        line
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    )
    assert first == "*"
    let_in = {line[1:] for line in others if line.startswith("!")}
    assert let_in == {
        "configs",
        "lungdx_paddle",
        "LICENSE",
        "README.md",
        "pyproject.toml",
        "setup.py",
    }
    assert all((ROOT / name).exists() for name in let_in)


def test_the_container_is_not_root_and_serves_where_it_says() -> None:
    assert re.search(r"^USER [1-9]\d*$", DOCKERFILE.rpartition("\nFROM ")[2], re.MULTILINE)
    command = words_after("ENTRYPOINT") + words_after("CMD")
    assert command[:2] == ["lungdx", "serve"]
    port = command[command.index("--port") + 1]
    assert f"\nEXPOSE {port}\n" in DOCKERFILE
    assert f":{port}/health" in words_after("HEALTHCHECK")[2]


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_the_health_check_is_what_the_server_answers(status: int, healthy: bool) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        python, *words = words_after("HEALTHCHECK")
        assert python == "python"
        words = [word.replace(":8000/", f":{server.server_port}/") for word in words]
        ran = subprocess.run([sys.executable, *words], capture_output=True, check=False)
        server.shutdown()
    assert (ran.returncode == 0) == healthy


@pytest.fixture
def analyze(tmp_path: Path) -> Callable[..., str]:
    """A function (words) -> what systemd-analyze says of the units in the docs."""
    program = shutil.which("systemd-analyze") or pytest.skip("systemd-analyze is not installed")
    page = (ROOT / "docs" / "how-to" / "deploy.md").read_text(encoding="utf-8")
    for unit in re.findall(r"```ini\n(.*?)```", page, flags=re.DOTALL):
        name = re.match(r"# /etc/systemd/system/(\S+)\n", unit)
        assert name
        path = tmp_path / name[1]
        path.parent.mkdir(exist_ok=True)
        path.write_text(unit.replace("/opt/lungdx/bin/lungdx", sys.executable), encoding="utf-8")

    def analyzed(*words: str) -> str:
        ran = subprocess.run(
            [program, *words],
            cwd=tmp_path,
            env={"SYSTEMD_UNIT_PATH": f"{tmp_path}:", "LANG": "C.UTF-8"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout
        return ran.stdout

    return analyzed


@pytest.mark.parametrize("unit", ["./lungdx-serve.service", "./lungdx-node.service"])
def test_systemd_takes_the_units_and_calls_them_closed(
    unit: str, analyze: Callable[..., str]
) -> None:
    assert analyze("verify", "--man=no", unit) == ""
    if int(analyze("--version").split()[1]) >= 250:  # before, only of units that are installed
        said = analyze("security", "--offline=true", f"--threshold={EXPOSED}", "--no-pager", unit)
        assert "✓ NoNewPrivileges=" in said and "✓ ProtectSystem=" in said
