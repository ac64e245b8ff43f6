"""Workers answer as the compiler here would, and nothing a source does reaches this process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from treegram.lang.compiler.front_ends import Source, compile_here
from treegram.lang.compiler.pool import CompilePool, NoWorker
from treegram.lang.errors import ConstraintError, ParameterError, RegexError, SchemaError
from treegram.lang.ir.rules_format import decode

pytestmark = pytest.mark.slow

SMALL = Source("regex", "[a-f]{2,8}|é+")
LARGE = Source("choices", json.dumps([f"choice number {n}" for n in range(100_000)]))


@pytest.fixture(scope="module")
def pool() -> Iterator[CompilePool]:
    made = CompilePool(max_workers=1)
    yield made
    made.close()


def children() -> set[int]:
    """Processes that this one has started."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that ends meanwhile
            found.update(map(int, (task / "children").read_text().split()))
    return found


@pytest.mark.parametrize(
    "source",
    [
        SMALL,
        Source("choices", '["yes", "no", "\\u2014"]'),
        Source("schema", '{"type": "object", "properties": {"a": {"enum": [1, "b"]}}}'),
        Source("gbnf", 'root ::= "a" root | "b"'),
    ],
    ids=lambda source: source.kind,
)
def test_the_same_rules_as_here(pool: CompilePool, source: Source) -> None:
    assert decode(pool.compile(source)) == compile_here(source)


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        (Source("regex", "a[0-9+"), RegexError),
        (Source("regex", "\ud800"), RegexError),
        (Source("schema", '{"properties": {"a": {"type": "int"}}}'), SchemaError),
        (Source("gbnf", "root ::= \n  ("), ConstraintError),
        (Source("choices", '["a", "a"]'), ParameterError),
    ],
)
def test_errors_keep_their_class_and_fields(
    pool: CompilePool, source: Source, kind: type[Exception]
) -> None:
    with pytest.raises(kind) as here:
        compile_here(source)
    with pytest.raises(kind) as there:
        pool.compile(source)
    assert type(there.value) is type(here.value)
    assert str(there.value) == str(here.value)
    assert vars(there.value) == vars(here.value)


def test_too_slow() -> None:
    """The worker is killed in time, and the next source finds another one."""
    pool = CompilePool(timeout_s=0.2, max_workers=1)
    assert decode(pool.compile(SMALL)) == compile_here(SMALL)
    began = time.monotonic()
    with pytest.raises(ConstraintError, match=r"choices: takes longer than 0\.2 s to compile"):
        pool.compile(LARGE)
    assert time.monotonic() - began < 5
    assert decode(pool.compile(SMALL)) == compile_here(SMALL)
    pool.close()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not enforce RLIMIT_AS")
def test_too_large() -> None:
    pool = CompilePool(memory_bytes=200 << 20, max_workers=1)
    with pytest.raises(ConstraintError, match="takes more than 200 MiB"):
        pool.compile(Source("choices", json.dumps(["x" * 60_000_000])))
    assert decode(pool.compile(SMALL)) == compile_here(SMALL)
    pool.close()


@pytest.mark.skipif(sys.platform != "linux", reason="finds the worker in /proc")
def test_a_killed_worker_is_replaced() -> None:
    before = children()
    pool = CompilePool(max_workers=1)
    pool.compile(SMALL)
    (worker,) = children() - before
    os.kill(worker, signal.SIGKILL)
    os.waitid(os.P_PID, worker, os.WEXITED | os.WNOWAIT)
    assert decode(pool.compile(SMALL)) == compile_here(SMALL)
    pool.close()
    assert children() <= before


@pytest.mark.skipif(sys.platform != "linux", reason="finds the worker in /proc")
def test_a_worker_that_crashes_while_it_compiles() -> None:
    before = children()
    pool = CompilePool(max_workers=1)
    pool.compile(SMALL)
    (worker,) = children() - before
    os.kill(worker, signal.SIGSTOP)
    threading.Timer(0.1, os.kill, (worker, signal.SIGKILL)).start()
    with pytest.raises(ConstraintError, match="process ended with code -9"):
        pool.compile(SMALL)
    pool.close()


def test_threads_share_the_workers() -> None:
    pool = CompilePool(max_workers=2)
    sources = [Source("regex", f"[a-f]{{2,{n}}}") for n in range(3, 19)]
    found: dict[Source, bytes] = {}
    threads = [
        threading.Thread(target=lambda s=source: found.update({s: pool.compile(s)}))
        for source in sources
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {s: decode(found[s]) for s in sources} == {s: compile_here(s) for s in sources}
    pool.close()


def test_no_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = CompilePool()
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(NoWorker, match="cannot be started"):
        pool.compile(SMALL)
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(NoWorker, match="no Python interpreter"):
        pool.compile(SMALL)


def run_script(folder: Path, body: str) -> subprocess.CompletedProcess[str]:
    """Runs a script that nothing guards against being run again by a child."""
    script = folder / "script.py"
    script.write_text(
        "import json, os, signal, sys, threading, time\n"
        "from treegram.lang.compiler.pool import shared_pool\n"
        "from treegram.lang.compiler.front_ends import Source\n"
        "small = Source('regex', 'a+')\n"
        "names = {f'p{n}': {'pattern': f'^a{n}.*b$', 'maxLength': 90} for n in range(9000)}\n"
        "large = Source('schema', json.dumps({'properties': names}))\n"
        "print('begins')\n" + body
    )
    return subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_an_interpreter_ends_while_a_worker_compiles(tmp_path: Path) -> None:
    ended = run_script(
        tmp_path,
        "shared_pool().compile(small)\n"
        "threading.Thread(target=shared_pool().compile, args=(large,), daemon=True).start()\n"
        "time.sleep(0.1)\n",
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "begins\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_interrupted_by_the_user(tmp_path: Path) -> None:
    """Waiting ends at once, also for a worker to start, and the next compilation works."""
    ended = run_script(
        tmp_path,
        "for seconds in (0.05, 0.1, 0.5):\n"
        "    threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "    try:\n"
        "        shared_pool().compile(large)\n"
        "        time.sleep(60)  # done before it was interrupted\n"
        "    except KeyboardInterrupt:\n"
        "        print('interrupted')\n"
        "shared_pool().compile(small)\n",
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "begins\n" + 3 * "interrupted\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_fork_has_workers_of_its_own(tmp_path: Path) -> None:
    """While another thread of the parent is inside the pool; neither disturbs the other."""
    ended = run_script(
        tmp_path,
        "shared_pool().compile(small)\n"
        "few = Source('choices', json.dumps([f'choice {n}' for n in range(20_000)]))\n"
        "other = threading.Thread(target=shared_pool().compile, args=(few,))\n"
        "other.start()\n"
        "time.sleep(0.02)\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    shared_pool().compile(small)\n"
        "    print('child', flush=True)\n"
        "    sys.exit()\n"
        "assert os.waitpid(pid, 0)[1] == 0\n"
        "other.join()\n"
        "shared_pool().compile(small)\n"
        "print('parent')\n",
    )
    assert ended.stderr == ""
    assert [line for line in ended.stdout.split() if line != "begins"] == ["child", "parent"]
