"""Kill our programs at random moments, let them go on, and compare what they end with to the bit.

    python tests/kills.py --kills 200
    python tests/kills.py --kills 20 --seed 7 --only training export --python OTHER/bin/python

Each round takes one of the works below in a new folder, ends it by SIGKILL up to six times (its
worker processes, too), lets it go on until it is done, and compares with a work that nobody
disturbed: weights, tables, scores, crops, models, and for the node what its PACS has.  A line a
round, a summary, and 1 at any difference.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NODE = Path(__file__).resolve().parent / "serving" / "node"
sys.path.insert(0, str(ROOT))
os.environ.setdefault("LUNGDX_THREADS", "1")

MOST_KILLS = 6
"""Of one round."""

WAIT_S = 300.0
"""After which a work that nobody kills should have ended."""

GRACE_S = 3.0
"""In which a process may end by itself that has lost another one; then the launcher ends it."""

PATIENTS, STUDIES, INSTANCES = 6, 3, 3
"""Of the phantom; of what the scanner sends, and of each of its studies."""

BATCH = 15
"""Images of a step: odd, so that two processes have parts of two sizes."""

Content = dict[str, Any]
FORK = multiprocessing.get_context("fork")
"""A child of a process that has imported Paddle and computed nothing starts in no time."""


@dataclass
class Work:
    """Something that can be killed and begun again until it is done."""

    do: Callable[[Path, Path], None]
    """(folder of what is shared, own folder): begin or go on, to the end."""
    result: Callable[[Path], Content]
    """What it has to end with."""
    processes: int = 1
    needs: tuple[str, ...] = ()
    """Works whose unbroken result it reads, in the shared folder."""
    seconds: float = 0.0
    """That it took when nobody disturbed it."""
    whole: Content = field(default_factory=dict)


def train(shared: Path, own: Path, *more: str) -> None:
    from lungdx_paddle.config import load_config
    from lungdx_paddle.training.crossval import train_any
    from lungdx_paddle.training.parallel.jobs import JobOptions

    settings = (f"data.batch_size={BATCH}", "train.log_every=1", "train.steps=12", *more)
    paths = (f"output={own / 'run'}", f"data.manifest={shared / 'preprocessing' / 'manifest.csv'}")
    config = load_config(ROOT / "configs" / "testing.yaml", [*paths, *settings])
    begun = (own / "run" / "config.yaml").is_file()
    train_any(config, JobOptions(jobs=1, device="cpu", resume=begun))


def train_folds(shared: Path, own: Path) -> None:
    train(shared, own, "data.split=patient", "data.folds=2", "train.steps=4")


def preprocess(shared: Path, own: Path) -> None:
    from lungdx_paddle.preprocess.pipeline import preprocess
    from lungdx_paddle.workers import executor

    with executor(2) as pool:
        preprocess(shared / "phantom", own, pool=pool)


def write_slices(shared: Path, own: Path) -> None:
    from lungdx_paddle.preprocess.slice_images import write_slice_images

    write_slice_images(shared / "phantom", own, lungs="paper")


def export(shared: Path, own: Path) -> None:
    from lungdx_paddle.commands.export_model import main

    words = ["--run", shared / "training" / "run", "--out", own / "model", "--safetensors"]
    main([*map(str, words)])


def of_run(own: Path) -> Content:
    """Its files but those that name time and place, its scores, and what its dashboard shows."""
    from lungdx_paddle.training.dashboard import read_scalar

    found = files(own, "config.yaml", "environment.json", "metrics.json", ".log", ".lungdx.lock")
    for path in own.rglob("metrics.json"):
        entries = json.loads(path.read_text(encoding="utf-8"))
        del entries["environment"]
        found[path.relative_to(own).as_posix()] = entries
    for folder in own.rglob("vdl"):
        for tag in ("loss/total", "accuracy_test/total"):
            steps, values = read_scalar(folder, tag)
            name = f"{folder.relative_to(own).as_posix()} {tag}"
            found[name] = (steps.tolist(), values.tolist())
    return found


def of_model(own: Path) -> Content:
    """Its files but the card and the description, which name the day."""
    return files(own, "MODEL_CARD.md", "inference.yml") | {
        "inference.yml": [
            line
            for line in (own / "model" / "inference.yml").read_text(encoding="utf-8").splitlines()
            if not line.startswith(("date", "exported"))
        ]
    }


def files(folder: Path, *without: str) -> Content:
    """{name: content} of all files, but of those whose names end so."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in paths
        if not path.name.endswith(without or ("\0",))
    }


WORKS = {
    "preprocessing": Work(preprocess, files),
    "slices": Work(write_slices, files),
    "training": Work(train, of_run, needs=("preprocessing",)),
    "folds": Work(train_folds, of_run, needs=("preprocessing",)),
    "two processes": Work(train, of_run, processes=2, needs=("preprocessing",)),
    "export": Work(export, of_model, needs=("preprocessing", "training")),
}
NODE_WORK = "node"


def in_child(work: Work, shared: Path, own: Path, rank: int, ports: Sequence[int]) -> None:
    """Do a work in a process, with its workers in a group of their own; what it says is kept."""
    os.setsid()
    own.mkdir(parents=True, exist_ok=True)
    told = open(own.with_name(f"{own.name}.{rank}.log"), "ab", buffering=0)
    for stream in (1, 2):
        os.dup2(told.fileno(), stream)
    if work.processes > 1:
        names = [f"127.0.0.1:{port}" for port in ports]
        os.environ |= {"PADDLE_TRAINER_ID": str(rank), "PADDLE_TRAINERS_NUM": str(work.processes)}
        os.environ["PADDLE_CURRENT_ENDPOINT"] = names[rank]
        os.environ["PADDLE_TRAINER_ENDPOINTS"] = ",".join(names)
    try:
        work.do(shared, own)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def started(work: Work, shared: Path, own: Path) -> list[Any]:
    """The processes of a work."""
    ports = [free_port() for _ in range(work.processes)]
    made = []
    for rank in range(work.processes):
        made.append(FORK.Process(target=in_child, args=(work, shared, own, rank, ports)))
        made[-1].start()
    return made


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def kill(process: Any) -> None:
    """End a process and its workers, whatever they are at."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.join()


def finish(work: Work, shared: Path, own: Path) -> str:
    """Go on to the end; what went wrong, or nothing."""
    processes = started(work, shared, own)
    for process in processes:
        process.join(WAIT_S)
    wrong = [process for process in processes if process.exitcode != 0]
    for process in processes:
        kill(process)
    if not wrong:
        return ""
    log = own.with_name(f"{own.name}.{processes.index(wrong[0])}.log")
    return f"ended with {wrong[0].exitcode}: " + log.read_text(errors="replace")[-2000:]


def disturb(work: Work, shared: Path, own: Path, moments: Sequence[float], draw: Any) -> int:
    """Begin a work again and again and kill it after so many seconds; returns how often."""
    done = 0
    for moment in moments:
        processes = started(work, shared, own)
        processes[0].join(moment)
        if not any(process.is_alive() for process in processes):
            break  # it has come to its end
        victim = draw.choice(processes)
        if victim.is_alive():
            kill(victim)
            done += 1
        for other in processes:  # one that still waits for the first to join: as the launcher does
            other.join(GRACE_S)
            kill(other)
    return done


def differences(found: Content, whole: Content) -> list[str]:
    """Names of what differs."""
    names = sorted(found.keys() | whole.keys())
    return [name for name in names if found.get(name, ...) != whole.get(name, ...)]


def node_round(own: Path, moments: Sequence[float]) -> tuple[int, str]:
    """Kill a node while a scanner sends and a PACS takes; how often, and what is lost or doubled.

    The scanner sends a study again until all of it was accepted, and no more then.
    """
    sys.path.insert(0, str(NODE))
    from conftest import Pacs, association, listening  # of the node's tests
    from stub_node import CT, instance

    todo = [f"1.2.{study}" for study in range(1, STUDIES + 1)]
    expected = {f"{study}.{INSTANCES}.{number}" for study in todo for number in (1, 2)}

    def send(port: int) -> None:
        while todo:
            sent = [
                instance(CT, todo[0], f"{todo[0]}.1.{k}", EncapsulatedDocument=bytes(10))
                for k in range(INSTANCES)
            ]
            try:
                with association(port) as scanner:
                    accepted = all(scanner.send_c_store(one).get("Status") == 0 for one in sent)
            except (RuntimeError, ValueError, AttributeError):
                accepted = False
            if not accepted:
                return
            del todo[0]

    def left() -> list[str]:
        parts = [own / part for part in ("studies", "failed", "gone")]
        return [name for part in parts for _, _, names in os.walk(part) for name in names]

    done = 0
    with listening(Pacs()) as pacs:
        for moment in [*moments, None]:
            words = [sys.executable, str(NODE / "stub_node.py"), str(own), str(pacs.port)]
            with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as made:
                assert made.stdout is not None
                port = int(made.stdout.readline())
                if moment is not None:
                    threading.Timer(moment, made.kill).start()
                send(port)
                end = time.monotonic() + (WAIT_S if moment is None else moment)
                while made.poll() is None and time.monotonic() < end:
                    if moment is None:
                        if not todo and not left() and expected <= set(pacs.uids):
                            break
                        send(port)
                    time.sleep(0.02)
                made.kill()
            done += moment is not None
        lost = [*todo, *sorted(expected - set(pacs.uids)), *left()]
        contents = {str(one.SOPInstanceUID): one.to_json() for one in pacs.stored}
        doubled = [one for one in pacs.stored if contents[str(one.SOPInstanceUID)] != one.to_json()]
    return done, f"lost {lost}, doubled {doubled}" if lost or doubled else ""


def prepared(names: Sequence[str], shared: Path) -> Iterator[str]:
    """Do each work without a kill, in the shared folder, and note what it ends with."""
    from lungdx_paddle.phantom import PhantomSettings, write_phantom

    small = PhantomSettings(rows=160, slices=10, slice_mm=2.5, nodules=(2, 3))
    write_phantom(shared / "phantom", PATIENTS, jobs=1, settings=small)
    needed = [needed for name in names if name in WORKS for needed in WORKS[name].needs]
    for name, work in WORKS.items():
        if name not in (*names, *needed):
            continue
        start = time.monotonic()
        wrong = finish(work, shared, shared / name)
        assert not wrong, f"{name}, undisturbed, {wrong}"
        work.seconds = time.monotonic() - start
        work.whole = work.result(shared / name)
        yield f"{name}: {work.seconds:.1f} s undisturbed, {len(work.whole)} files"


def one_round(name: str, shared: Path, own: Path, most: int, draw: Any) -> tuple[int, str]:
    """Kill one work as often as drawn, and let it end; kills, and what is wrong."""
    count = min(draw.randint(1, MOST_KILLS), most)
    if name == NODE_WORK:
        return node_round(own, [draw.uniform(0, 1) for _ in range(count)])
    work = WORKS[name]
    moments = [draw.uniform(0, work.seconds) for _ in range(count)]
    done = disturb(work, shared, own, moments, draw)
    wrong = finish(work, shared, own)
    other = [] if wrong else differences(work.result(own), work.whole)
    return done, wrong or (f"differs: {', '.join(other)}" if other else "")


def main() -> int:
    """Kill as often as the arguments say."""
    names = [*WORKS, NODE_WORK]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of works and moments")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="WORK")
    parser.add_argument("--python", help="another interpreter, which has another Paddle")
    args = parser.parse_args()
    if args.python:
        words = [__file__, "--kills", str(args.kills), "--seed", str(args.seed)]
        os.execv(args.python, [args.python, *words, "--only", *args.only])
    chosen = [name for name in args.only if name != NODE_WORK or find_spec("pynetdicom")]
    for name in set(args.only) - set(chosen):
        say(f"{name}: left out, since pynetdicom is not installed")
    if {*chosen} - {"preprocessing", "slices", NODE_WORK}:
        import_module("lungdx_paddle.training.trainer")  # with Paddle, once, not in every child
    # Its children compute nothing that a thread of Paddle's holds; Python 3.12 cannot know.
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    draw, kills, bad = random.Random(args.seed), Counter[str](), 0
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        for line in prepared(chosen, Path(folder)):
            say(line)
        turn = 0
        while sum(kills.values()) < args.kills:
            turn += 1
            name = draw.choice(chosen)
            own = Path(folder) / f"round{turn}"
            start = time.monotonic()
            most = args.kills - sum(kills.values())
            done, wrong = one_round(name, Path(folder), own, most, draw)
            kills[name] += done
            bad += bool(wrong)
            seconds = time.monotonic() - start
            say(f"{turn:4} {name}: {done} kills, {seconds:.0f} s: {wrong or 'the same'}")
    total = ", ".join(f"{name} {count}" for name, count in kills.items())
    say(f"{sum(kills.values())} kills in {turn} rounds ({total}): {bad} rounds differ")
    return 1 if bad else 0


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
