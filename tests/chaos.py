"""`make chaos`: rounds of kills, edits, lost files and full disks around `dvc repro`; then bytes against a clean run.

    python tests/chaos.py [--rounds 60] [--seed 0] [--only NAME …]

Each round starts from a project whose results are of one variant (params, a table or code edited, or none), edits it
to another variant, and disturbs its run.  Then `dvc repro` or `make repro` runs until all is up to date.  It counts
rounds that end with wrong bytes, that never end, that lose what the user had saved, and edits that `dvc.lock` records
wrong without the next command noticing.
"""

import argparse
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from chaos_project import EDITS, STUDIES, VARIANTS, become, edit, make, reference
from preloaded import preloaded
from tqdm import tqdm

from stages.lock import MERGE

MAKE_REPRO = ("python", "-m", "stages.repro")
REPRO = ("dvc", "repro", "--keep-going")
AUTHOR = {f"GIT_{role}_{part}": "tester@example.org" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
ATTEMPTS = 4  # at coming up to date before a round counts as stuck
OUTPUTS = ("synthesize/train.csv", "train/fit.json", "evaluate/metrics.json", "stamps/train.json")


class Chaos:
    """A project that is disturbed in one round after the other."""

    def __init__(self, folder: Path, seed: int, anew: bool = True) -> None:
        """Make the project, all of whose stages have run; its commands import packages `anew`, as users run them.

        No process that has imported them outlives a kill, so rounds that kill need commands that do.
        """
        self.rng = random.Random(seed)
        self.project, self.folder = make(folder / "project", anew), folder
        self.wanted = "original"
        self.counts: Counter[str] = Counter()
        self.project.run(*REPRO)
        self.clean = {self.wanted: self.project.hashes("data", "dvc.lock")}  # of each variant's undisturbed run
        self.project.commit()

    def play(self, name: str) -> None:
        """Play one round, and count how it ended."""
        self.wanted = self.rng.choice([variant for variant in VARIANTS if variant != self.wanted])
        shutil.rmtree(self.project.path / ".dvc/cache/runs", ignore_errors=True)  # else DVC takes what it ran before
        become(self.project, self.wanted)
        ROUNDS[name](self)
        self.counts["rounds"] += 1
        texts = [(self.project.path / EDITS[edited][0]).read_text(encoding="utf-8") for edited in EDITS]
        become(self.project, self.wanted)
        now = [(self.project.path / EDITS[edited][0]).read_text(encoding="utf-8") for edited in EDITS]
        self.counts["lost"] += texts != now
        self.judge(name)

    def judge(self, name: str) -> None:
        """Run until all is up to date, and compare all bytes with the clean run's."""
        for attempt in range(ATTEMPTS):
            self.mend()
            command = MAKE_REPRO if attempt or self.rng.random() < 0.5 else REPRO
            done = self.project.run(*command, exit_code=None, **AUTHOR)
            if done.returncode == 0 and self.is_up_to_date():
                break
        else:
            self.tell(name, "stuck", f"{done.stdout[-2000:]}{done.stderr[-2000:]}")
            return
        if different := self.different():
            self.tell(name, "wrong", ", ".join(different))

    def is_up_to_date(self) -> bool:
        """Return whether DVC has nothing to run, and no stage's stamp contradicts dvc.lock."""
        status = self.project.run("dvc", "status", "--json", exit_code=None).stdout.strip()
        return status == "{}" and not self.noticed()

    def noticed(self) -> bool:
        """Return whether the next command says that dvc.lock records wrong inputs."""
        code = "from stages.wrapper.stamps import contradictions; print(len(contradictions()))"
        return self.project.run("python", "-c", code).stdout.strip() != "0"

    def different(self) -> list[str]:
        """Return the files whose bytes are not the clean run's."""
        if self.wanted not in self.clean:
            self.clean[self.wanted] = reference(self.project, self.wanted, self.folder / "reference")
        now, clean = self.project.hashes("data", "dvc.lock"), self.clean[self.wanted]
        return sorted(file for file in now.keys() | clean.keys() if now.get(file) != clean.get(file))

    def tell(self, name: str, kind: str, what: str) -> None:
        """Count a failure, and print it."""
        self.counts[kind] += 1
        tqdm.write(f"round {self.counts['rounds']} ({name} → {self.wanted}): {kind}: {what}")

    def mend(self) -> None:
        """Do what the project's messages say where `dvc` was killed while it wrote a file of its own."""
        (self.project.path / ".git/HEAD.lock").unlink(missing_ok=True)
        said = self.project.run("python", "-m", "stages", exit_code=None).stderr
        if "dvc.lock: is cut off" in said and self.rng.random() < 0.5:  # else `make repro` mends it
            self.project.run("git", "checkout", "-q", "dvc.lock")
        elif "dvc.lock: is cut off" in said:
            self.project.run(*MAKE_REPRO, exit_code=None)
        if "rwlock: is cut off" in said:
            (self.project.path / ".dvc/tmp/rwlock").unlink()

    def start(self, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a command in a process group of its own."""
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        if not self.project.anew:
            environment = preloaded("random") | environment
        environment = self.project.environment(**AUTHOR, **environment)
        return subprocess.Popen(command, cwd=self.project.path, env=environment, start_new_session=True, **quiet)

    def command(self) -> tuple[str, ...]:
        """Return `dvc repro`, or `make repro` with one or two jobs."""
        return self.rng.choice([REPRO, (*MAKE_REPRO, "--jobs", "1"), (*MAKE_REPRO, "--jobs", "2")])

    def wait_for_the_end(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until a command and all that it started have ended."""
        process.wait(timeout=300)
        while working_in(self.project.path):
            time.sleep(0.05)

    def wait_for_a_stage(self) -> None:
        """Wait until a stage of the last run puts its stamp in its place, or has ended without."""
        stamps, began = self.project.path / "data", time.time()
        while time.time() < began + 60:
            if any(path.stat().st_mtime > began for path in existing(stamps.glob("*/stamps/*.json"))):
                return
            time.sleep(0.01)


def existing(paths):
    """Return those of the paths that exist; a stage may replace them meanwhile."""
    return [path for path in paths if path.exists()]


def working_in(folder: Path) -> list[int]:
    """Return the processes that work in the project's folder  (Linux: /proc)."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").readlink().is_relative_to(folder):
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                found += [int(entry.name)] if state != "Z" else []
        except OSError:
            continue
    return found


def stages_of(folder: Path) -> list[int]:
    """Return the processes of stages."""
    running = []
    for pid in working_in(folder):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"-m" in words and any(word.startswith(b"stages.") and word != b"stages.repro" for word in words):
            running.append(pid)
    return running


def kill_group(number: signal.Signals):
    """Return a round in which a command and all that it started get a signal at a random moment."""

    def play(chaos: Chaos) -> None:
        process = chaos.start(*chaos.command())
        time.sleep(chaos.rng.uniform(0.3, 6))
        if process.poll() is None:
            os.killpg(process.pid, number)
        chaos.wait_for_the_end(process)

    return play


def kill_command(number: signal.Signals):
    """Return a round in which the command alone gets a signal at a random moment."""

    def play(chaos: Chaos) -> None:
        process = chaos.start(*chaos.command())
        time.sleep(chaos.rng.uniform(0.3, 6))
        process.send_signal(number)
        chaos.wait_for_the_end(process)

    return play


def kill_stage(chaos: Chaos) -> None:
    """Kill a stage."""
    process = chaos.start(*chaos.command())
    while process.poll() is None and not (running := stages_of(chaos.project.path)):
        time.sleep(0.02)
    if process.poll() is None:
        time.sleep(chaos.rng.uniform(0, 0.5))
        for pid in running:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
    chaos.wait_for_the_end(process)


def stop_and_continue(chaos: Chaos) -> None:
    """Stop everything, edit meanwhile, and let it go on."""
    process = chaos.start(*chaos.command())
    time.sleep(chaos.rng.uniform(0.3, 4))
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGSTOP)
        chaos.wanted = chaos.rng.choice(VARIANTS)
        become(chaos.project, chaos.wanted)
        time.sleep(0.2)
        os.killpg(process.pid, signal.SIGCONT)
    chaos.wait_for_the_end(process)


def edits(chaos: Chaos) -> None:
    """Edit what stages read at the moment one of them ends, before `dvc` hashes it; sometimes take it back."""
    process = chaos.start(*REPRO)
    for _ in range(chaos.rng.choice([1, 1, 2])):
        chaos.wait_for_a_stage()
        time.sleep(chaos.rng.uniform(0, 0.8))
        chaos.wanted = chaos.rng.choice([variant for variant in VARIANTS if variant != chaos.wanted])
        become(chaos.project, chaos.wanted)
    chaos.counts["edits while it ran"] += process.poll() is None
    chaos.wait_for_the_end(process)
    status = chaos.project.run("dvc", "status", "--json", exit_code=None).stdout.strip()
    if status == "{}" and chaos.different():
        chaos.counts["recorded wrong"] += 1
        if not chaos.noticed():
            chaos.tell("edits", "unnoticed", ", ".join(chaos.different()))


def edit_and_back(chaos: Chaos) -> None:
    """Edit at random moments, and take it back."""
    process = chaos.start(*chaos.command())
    for _ in range(3):
        time.sleep(chaos.rng.uniform(0.2, 1.5))
        other = chaos.rng.choice(list(EDITS))
        edit(chaos.project, other, to=other != chaos.wanted)
        time.sleep(chaos.rng.uniform(0.0, 0.5))
        edit(chaos.project, other, to=other == chaos.wanted)
    chaos.wait_for_the_end(process)


def two_at_once(chaos: Chaos) -> None:
    """Start two commands, one soon after the other."""
    first = chaos.start(*chaos.command())
    time.sleep(chaos.rng.uniform(0, 3))
    chaos.wait_for_the_end(chaos.start(*chaos.command()))
    chaos.wait_for_the_end(first)


def experiment(chaos: Chaos) -> None:
    """Run an experiment, and take it back."""
    chaos.wait_for_the_end(chaos.start("dvc", "exp", "run", "-S", "studies.lake.seed=5"))
    file = EDITS["params"][0]
    path = chaos.project.path / file
    chaos.counts["experiments"] += "seed: 5" in path.read_text()
    chaos.project.run("git", "checkout", "-q", "--", file)
    become(chaos.project, chaos.wanted)


def kill_experiment(chaos: Chaos) -> None:
    """End an experiment at a random moment, and look for the edits that it took out of the workspace."""
    process = chaos.start("dvc", "exp", "run", "-S", "studies.lake.seed=5")
    time.sleep(chaos.rng.uniform(0.5, 5))
    if process.poll() is None:
        process.send_signal(chaos.rng.choice([signal.SIGTERM, signal.SIGKILL]))
    chaos.wait_for_the_end(process)
    run = chaos.project.run
    held = chaos.project.path / ".git/HEAD.lock"
    held.unlink(missing_ok=True)  # as docs/experiments.md says
    run(
        "git",
        "symbolic-ref",
        "HEAD",
        "refs/heads/" + run("git", "branch", "--format=%(refname:short)").stdout.split()[-1],
    )
    run("git", "reset", "-q")
    if MERGE in run("python", "-m", "stages", exit_code=None).stderr:
        chaos.counts["edits put aside, and told"] += 1
        run("git", "restore", f"--source={MERGE}", ".")
        run("git", "update-ref", "-d", MERGE)
    elif run("git", "stash", "list").stdout:
        run("git", "checkout", "-q", ".")
        run("git", "stash", "pop", **AUTHOR, exit_code=None)
    path = chaos.project.path / EDITS["params"][0]
    path.write_text(path.read_text().replace("seed: 5", "seed: 0"), encoding="utf-8")
    metrics = [f"data/{study}/evaluate/metrics.json" for study in STUDIES]
    run("git", "checkout", "-q", "--", "dvc.lock", *metrics)


def remove_outputs(chaos: Chaos) -> None:
    """Remove or cut outputs, before or while something runs."""
    early = chaos.rng.random() < 0.5
    process = None if early else chaos.start(*chaos.command())
    time.sleep(0 if early else chaos.rng.uniform(0.3, 4))
    for study in STUDIES:
        path = chaos.project.path / "data" / study / chaos.rng.choice(OUTPUTS)
        if not path.exists():
            continue
        if chaos.rng.random() < 0.5:
            shutil.rmtree(path.parent, ignore_errors=True)
        else:
            text = path.read_bytes()
            path.unlink()
            path.write_bytes(text[: len(text) // 2])
    if process:
        chaos.wait_for_the_end(process)


def remove_cache(chaos: Chaos) -> None:
    """Remove DVC's cache or its temporary files, before or while something runs."""
    folder = chaos.project.path / ".dvc" / chaos.rng.choice(["cache", "tmp"])
    process = chaos.start(*chaos.command()) if folder.name == "cache" and chaos.rng.random() < 0.5 else None
    time.sleep(chaos.rng.uniform(0.3, 3) if process else 0)
    shutil.rmtree(folder, ignore_errors=True)
    if process:
        chaos.wait_for_the_end(process)


def full_disk(chaos: Chaos) -> None:
    """Let no file grow beyond a few kilobytes: writing fails in the middle of a file, as on a full disk."""
    size = chaos.rng.choice([0, 100, 1000, 4000, 20_000])
    process = chaos.start("sh", "-c", f"exec prlimit --fsize={size} {' '.join(chaos.command())}")
    chaos.wait_for_the_end(process)


ROUNDS = {
    "kill -9 of all": kill_group(signal.SIGKILL),
    "kill -9 of the command": kill_command(signal.SIGKILL),
    "kill -9 of a stage": kill_stage,
    "ctrl-c": kill_group(signal.SIGINT),
    "sigterm": kill_command(signal.SIGTERM),
    "stop": stop_and_continue,
    "edits": edits,
    "edit and back": edit_and_back,
    "two at once": two_at_once,
    "experiment": experiment,
    "experiment killed": kill_experiment,
    "outputs": remove_outputs,
    "cache": remove_cache,
    "full disk": full_disk,
}
FAILURES = ("wrong", "unnoticed", "stuck", "lost")


def main(arguments: list[str]) -> int:
    """Play the rounds, print the counts, and return 1 if one failed."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=ROUNDS, nargs="+", default=list(ROUNDS))
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        chaos = Chaos(Path(folder), options.seed)
        for k in tqdm(range(options.rounds), desc="rounds", disable=None):
            chaos.play(options.only[k % len(options.only)])
    seconds = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    print(f"{options.rounds} rounds, seed {options.seed}, {', '.join(options.only)}: {seconds:.0f} CPU seconds")
    print(*(f"{name}: {chaos.counts[name]}" for name in dict.fromkeys([*FAILURES, *chaos.counts])), sep="\n")
    return int(any(chaos.counts[name] for name in FAILURES))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
