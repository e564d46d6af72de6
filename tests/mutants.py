"""`python -m tests.mutants [WORD…]` applies each mutant of mutants.toml to a copy of the code and runs its tests.

A mutant is one line of code made wrong: tests that notice nothing do not hold what the line says.  With words, only the
mutants are run whose file or text has one of them.  JOBS says how many run at once, VERBOSE=1 which test noticed each.
Exits with 1 if a mutant survived, or if its test failed for a reason that any broken code would give.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: a mutant is a process of one thread

import multiprocessing
import shutil
import signal
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import pytest
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
LIST = Path(__file__).with_suffix(".toml")
COPIED = ("gp", "stages", "review", "tests", "data", "pyproject.toml")  # what else there is, tests only read
NOT_COPIED = ("__pycache__", "synthesize", "train", "predict", "evaluate", "plot", "stamps")
LONGEST = 900  # seconds, after which a mutant that came to no end counts as noticed
# What a test says of a line that does not run, whatever it computes.
BROKEN = ("ImportError", "ModuleNotFoundError", "NameError", "SyntaxError", "IndentationError", "UnboundLocalError")


@dataclass(frozen=True)
class Mutant:
    """A file below the root, a part of one of its lines, what stands there instead, and the tests that notice it.

    An `equivalent` one changes nothing that can be noticed, for the reason given; it names no tests, and is not run.
    """

    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    equivalent: str = ""

    def __str__(self) -> str:
        return f"{self.file}: {self.old} → {self.new}"

    @property
    def faults(self) -> list[str]:
        """Return what is wrong with the entry itself: it must fit the code as it is."""
        code = (ROOT / self.file).read_text(encoding="utf-8")
        found = [] if code.count(self.old) == 1 else [f"its text is there {code.count(self.old)} times, not once"]
        if self.old == self.new or "\n" in self.old + self.new:
            found.append("it is no change of one line")
        if bool(self.tests) == bool(self.equivalent):
            found.append("it has either tests or a reason why there are none")
        for test in self.tests:
            file, _, name = test.partition("::")
            named = f"def {name}(" if name else ""
            if not (ROOT / file).is_file() or named not in (ROOT / file).read_text(encoding="utf-8"):
                found.append(f"there is no test {test}")
        return found


def mutants() -> list[Mutant]:
    """Return the mutants of mutants.toml: file → lists [old, new, tests, … or "equivalent: …"]."""
    made = []
    for file, entries in tomllib.loads(LIST.read_text(encoding="utf-8")).items():
        for old, new, *rest in entries:
            reason = rest[0].removeprefix("equivalent: ") if rest and rest[0].startswith("equivalent: ") else ""
            made.append(Mutant(file, old, new, () if reason else tuple(f"tests/{test}" for test in rest), reason))
    return made


Task = tuple[Mutant | None, tuple[str, ...]]  # a mutant, or none, and tests


class _Watch:
    """A plugin of pytest: the first test that failed, and by which exception."""

    failed = ""

    def pytest_exception_interact(self, node: Any, call: Any) -> None:
        if not self.failed:
            self.failed = f"{node.nodeid} {call.excinfo.type.__name__}"


def outcomes(tasks: Sequence[Task], jobs: int) -> Iterator[tuple[Task, int, str]]:
    """Yield each task, as they end, with pytest's exit code and the first failure; `jobs` processes at a time.

    A process is a copy of this one, which has imported torch but nothing of the project.
    """
    context, waiting, running = multiprocessing.get_context("fork"), list(reversed(tasks)), {}
    with tempfile.TemporaryDirectory() as folder:
        while waiting or running:
            while waiting and len(running) < jobs:
                answer, there = context.Pipe(duplex=False)
                task = waiting.pop()
                process = context.Process(target=_test, args=(Path(folder) / str(len(waiting)), task, there))
                process.start()
                there.close()
                running[answer] = task, process
            for answer in wait(list(running)):
                task, process = running.pop(answer)
                try:
                    code, failed = answer.recv()
                except EOFError:  # it ended without a word
                    process.join()
                    code, failed = (1, "too long") if process.exitcode == -signal.SIGALRM else (3, "the process died")
                process.join()
                yield task, code, failed


def _test(folder: Path, task: Task, answer: Any) -> None:
    """Run a task's tests in `folder`, on a copy of the project with its mutant."""
    signal.alarm(LONGEST)
    folder.mkdir()
    for path in ROOT.glob("[!.]*"):
        if path.name not in COPIED:
            (folder / path.name).symlink_to(path)
        elif path.is_dir():
            shutil.copytree(path, folder / path.name, ignore=shutil.ignore_patterns(*NOT_COPIED))
        else:
            shutil.copy(path, folder)
    mutant, tests = task
    if mutant:
        path = folder / mutant.file
        path.write_text(path.read_text(encoding="utf-8").replace(mutant.old, mutant.new), encoding="utf-8")
    os.chdir(folder)
    sys.path[:] = [str(folder), *(path for path in sys.path if path not in ("", str(ROOT)))]
    sys.dont_write_bytecode = True
    with Path(os.devnull).open("w") as nowhere:  # what pytest prints
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    watch = _Watch()
    code = pytest.main(["-x", "-q", "-n", "0", "-p", "no:cacheprovider", *tests], plugins=[watch])
    os.chdir(ROOT)
    shutil.rmtree(folder, ignore_errors=True)
    answer.send((int(code), watch.failed))


def judge(code: int, failed: str) -> str:
    """Return what became of a mutant, in a word, by pytest's exit code and the first failure."""
    if code == pytest.ExitCode.OK:
        return "survived"
    by_value = code == pytest.ExitCode.TESTS_FAILED and failed.rpartition(" ")[2] not in BROKEN
    return "killed" if by_value else "broken"


def main(words: list[str]) -> int:
    """Run the mutants, print those that were not killed and how many were, and return the exit code."""
    chosen = [mutant for mutant in mutants() if not words or any(word in str(mutant) for word in words)]
    stale = [f"stale: {mutant}: {fault}" for mutant in chosen for fault in mutant.faults]
    if stale or not chosen:
        print("\n".join(stale or ["no mutant has these words"]))
        return 1
    import gpytorch  # noqa: F401 - once for all
    import scipy.stats  # noqa: F401

    jobs = int(os.environ.get("JOBS") or os.cpu_count() or 1)
    tried = [(mutant, mutant.tests) for mutant in chosen if mutant.tests]
    # Without a mutant, all tests must pass.
    sound = tuple(dict.fromkeys(test for _, tests in tried for test in tests))
    counts, failures = Counter({"equivalent": len(chosen) - len(tried)}), 0
    found = outcomes([(None, sound), *tried], jobs)
    for (mutant, _), code, failed in tqdm(found, total=len(tried) + 1, desc="mutants", disable=None):
        if mutant is None:
            if code:
                print(f"without a mutant: {failed or f'pytest ended with {code}'}")
                failures += 1
            continue
        word = judge(code, failed)
        counts[word] += 1
        failures += word != "killed"
        if word != "killed" or os.environ.get("VERBOSE"):
            print(f"{word}: {mutant}{f': {failed}' if failed else ''}", flush=True)
    print(f"{len(chosen)} mutants: {', '.join(f'{count} {word}' for word, count in counts.items() if count)}")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
