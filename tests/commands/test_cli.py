"""Shared by all commands: exit codes, names of commands in messages, where they print."""

from __future__ import annotations

import json
import logging
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from lungdx_paddle import runtime
from lungdx_paddle.commands import cli
from lungdx_paddle.errors import ConfigError

MAIN = (
    "import logging, os, sys\n"
    "from pathlib import Path\n"
    "from lungdx_paddle.commands import cli\n"
    "log = logging.getLogger('lungdx_paddle')\n"
    "def main(argv=None):\n    {body}\n"
    "cli.run(main)\n"
)


def run(body: str, shell: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command whose main has this one line, with something behind it in the shell."""
    words = shlex.join([sys.executable, "-c", MAIN.format(body=body)])
    return subprocess.run(
        ["bash", "-c", f"{words} {shell}"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_bug_is_one_line_and_exit_code_1() -> None:
    ran = run(r"raise ValueError('two\nlines')")
    assert ran.returncode == 1
    assert "ValueError: two lines; this is a bug" in ran.stderr
    assert "Traceback" not in ran.stderr and ran.stderr.count("\n") == 1


def test_a_package_that_is_not_installed_is_named_with_the_command_that_installs_it() -> None:
    packages = {module: module for module in ("setuptools", "visualdl", "matplotlib")}
    packages |= {"paddle": "paddlepaddle setuptools", "onnxruntime": "paddle2onnx onnxruntime"}
    for module, wanted in packages.items():
        ran = run(f"sys.modules[{module!r}] = None; import {module}")
        assert ran.returncode == 2
        assert ran.stderr.endswith(f"; pip install {wanted}\n") and ran.stderr.count("\n") == 1


def test_a_package_that_is_broken_is_no_bug_of_ours(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise ValueError('of NumPy 1')", encoding="utf-8")
    ran = run("import broken", PYTHONPATH=f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    assert ran.returncode == 2 and ran.stderr.count("\n") == 1
    assert "found ValueError: of NumPy 1; pip install --force-reinstall broken" in ran.stderr


def test_a_backend_of_a_notebook_does_not_stop_a_command_that_draws() -> None:
    body = "import matplotlib.figure; print(os.environ['MPLBACKEND'])"
    ran = run(body, MPLBACKEND="module://a_backend_that_is_not_installed")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "Agg\n", "")


def test_a_long_work_continues_when_nobody_reads_its_lines(tmp_path: Path) -> None:
    done = tmp_path / "done"
    body = f"[log.info('line %d', i) for i in range(5000)]; Path({str(done)!r}).touch()"
    ran = run(body, "| head -1")
    assert ran.stdout == "line 0\n" and ran.stderr == ""
    assert done.is_file()


def test_a_command_ends_when_nobody_reads_its_output(tmp_path: Path) -> None:
    done = tmp_path / "done"
    body = f"[cli.say(str(i)) for i in range(5000)]; Path({str(done)!r}).touch()"
    ran = run(body, "| head -1")
    assert ran.stdout == "0\n" and ran.stderr == ""
    assert not done.exists()


@pytest.mark.parametrize("shell", [">&-", "2>&-", ">&- 2>&-", "> /dev/full"])
def test_a_closed_or_full_screen_does_not_stop_a_long_work(shell: str, tmp_path: Path) -> None:
    done = tmp_path / "done"
    ran = run(f"log.info('a line'); Path({str(done)!r}).touch()", shell)
    assert ran.returncode == 0 and "Traceback" not in ran.stderr
    assert done.is_file()


def test_output_to_a_full_disk_is_one_line_and_exit_code_2() -> None:
    ran = run("cli.say('an answer')", "> /dev/full")
    assert ran.returncode == 2
    assert "No space left on device; free some space" in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_a_home_that_cannot_be_written_to_is_replaced(tmp_path: Path) -> None:
    body = "from visualdl import LogWriter; print(os.environ['HOME'])"
    ran = run(body, HOME="/proc/no-such-home")
    assert ran.returncode == 0 and ran.stderr == ""
    home = Path(ran.stdout.strip())
    assert home.parent == Path(tempfile.gettempdir()) and not home.exists()


SCREENS = ["PYTHONIOENCODING=ascii", "PYTHONIOENCODING=cp1252", "PYTHONUTF8=0 LC_ALL=POSIX"]


@pytest.mark.parametrize("screen", SCREENS)
def test_a_screen_of_another_encoding_shows_every_text(screen: str) -> None:
    body = "log.info(TEXT); cli.note(TEXT); cli.say(json.dumps(TEXT, ensure_ascii=False)); "
    body += "next(iter(bar([1], desc=TEXT))); raise ConfigError(TEXT, 'a', 'b', 'c')"
    body = body.replace("TEXT", "'\\u60a3\\udcfc'")
    more = "import json; from lungdx_paddle.errors import ConfigError; "
    more += "from lungdx_paddle.progress import bar; "
    environment = dict(word.split("=") for word in screen.split())
    ran = run(more + body, PYTHONCOERCECLOCALE="0", **environment)
    assert ran.returncode == 2 and ran.stderr.count("\\u60a3\\udcfc") >= 3, ran.stderr
    assert json.loads(ran.stdout.splitlines()[1]) == "\u60a3\udcfc"


def test_what_is_printed_neither_moves_the_cursor_nor_fakes_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "P\x1b[2J\r\n\x9b1m\u202eID\tü"

    def main(argv: Sequence[str] | None) -> None:
        cli.say(evil, "next")
        cli.note(evil)
        logging.getLogger("lungdx_paddle").info("%s", evil)
        raise ConfigError(evil, expected="a", found="b", fix="c")

    monkeypatch.setattr(sys, "argv", ["tools/train.py"])
    assert cli.exit_code(main) == 2
    shown = r"P\u001b[2J\u000d\u000a\u009b1m\u202eID" + "\tü"
    screen = capsys.readouterr()
    assert screen.out == f"{shown}\nnext\n{shown}\n"
    named = r"P\x1b[2J\r\n\x9b1m\u202eID\tü"  # an error is printable in itself
    assert screen.err == f"{shown}\ntrain: {named}: expected a, found b; c\n"


def test_a_name_that_cannot_be_written_is_one_line_that_names_the_way_out() -> None:
    ran = run(r"'\udcfc'.encode()")
    assert ran.returncode == 2 and ran.stderr.count("\n") == 1
    assert r"found '\udcfc'; set PYTHONUTF8=1" in ran.stderr


def test_a_tilde_that_the_shell_left_is_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(runtime, "_users_home", None)  # where none was replaced
    made = cli.parser("Trains.", "python tools/train.py")
    made.add_argument("--out", type=Path)
    made.add_argument("crops", type=Path, nargs="*")
    args = made.parse_args(["--out=~/x", "~/a.jpg", "b~", "~"])
    assert args.out == tmp_path / "x"
    assert args.crops == [tmp_path / "a.jpg", Path("b~"), tmp_path]


def test_a_tilde_is_the_users_home_also_where_that_is_replaced_and_never_the_replacement() -> None:
    body = "print(expand_home('~/x'), os.environ['HOME'] != '/proc/no-such-home')"
    ran = run(f"from lungdx_paddle.runtime import expand_home; {body}", HOME="/proc/no-such-home")
    assert ran.stdout == "/proc/no-such-home/x True\n"
    body = "load_config('best', ['output=~/x'])"
    ran = run(f"from lungdx_paddle.config import load_config; {body}", HOME="")
    assert ran.returncode == 2 and ran.stderr.count("\n") == 1
    assert "~/x: expected a home folder for ~, found none; write the path without ~" in ran.stderr


def test_without_any_folder_for_temporary_files_it_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nowhere(*args: object, **names: object) -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setenv("HOME", "/proc/no-such-home")
    monkeypatch.setattr(tempfile, "mkdtemp", nowhere)
    assert cli.exit_code(lambda argv: None) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "HOME and TMPDIR: expected a folder that can be written to" in line


def stop(argv: Sequence[str] | None) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("program", "end"),
    [
        (["tools/train.py"], "train: stopped; what was written so far is kept; "
         "the same command with --resume continues\n"),
        (["/bin/lungdx", "preprocess"], "lungdx preprocess: stopped; what was written so far is "
         "kept; the same command continues\n"),
        (["tools/predict.py"], "predict: stopped; what was written so far is kept\n"),
    ],
)  # fmt: skip
def test_ctrl_c_names_the_way_to_continue(
    program: list[str],
    end: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", program)
    assert cli.exit_code(stop) == 130
    assert capsys.readouterr().err == end


def test_ctrl_c_while_a_compiled_module_is_imported_is_no_bug(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def main(argv: Sequence[str] | None) -> None:
        raise ImportError("initialization failed") from KeyboardInterrupt()

    assert cli.exit_code(main) == 130
    assert "stopped; what was written" in capsys.readouterr().err


def test_commands_are_named_as_the_process_was_started(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def main(argv: Sequence[str] | None) -> None:
        cli.say(cli.quoted("python", "tools/export.py", "--run", Path("my run")))
        raise ConfigError("x", expected="a", found="b", fix="run tools/eval.py")

    monkeypatch.setattr(sys, "argv", ["tools/train.py"])
    assert cli.exit_code(main) == 2
    screen = capsys.readouterr()
    assert screen.out == "python tools/export.py --run 'my run'\n"
    assert screen.err == "train: x: expected a, found b; run tools/eval.py\n"

    monkeypatch.setattr(sys, "argv", ["/usr/bin/lungdx", "train"])
    assert cli.exit_code(main) == 2
    screen = capsys.readouterr()
    assert screen.out == "lungdx export --run 'my run'\n"
    assert screen.err == "lungdx train: x: expected a, found b; run lungdx eval\n"
    made = cli.parser("Trains.", "python tools/train.py -o a=b")
    assert "usage: lungdx train" in made.format_help()
    assert "example:\n  lungdx train -o a=b" in made.format_help()


def test_the_logger_is_as_it_was_after_a_command() -> None:
    log = logging.getLogger("lungdx_paddle")
    before = (log.level, log.propagate, list(log.handlers))
    assert cli.exit_code(lambda argv: None) == 0
    assert (log.level, log.propagate, list(log.handlers)) == before
