"""A project in Git with results that nobody computed, for the tests of reviews."""

import hashlib
import json
import subprocess

import numpy as np
from ruamel.yaml import YAML

from gp.forecast import Forecast
from gp.scores import score
from review.compare.__main__ import review
from review.compare.paired import Scored
from review.lock.revisions import open_revision

STUDY = {"seed": 0, "data": {"n": 40}, "model": {"kernel": {"kind": "rbf"}}}
N = 200


def scored(observed, mean, sd):
    """Return what was observed, and its forecasts N(mean, sd²)."""
    return Scored(observed, Forecast.normal(mean, sd))


def forecast(noise, seed=0, n=N):
    """Return a forecast whose mean is off by sd `noise`, of rows with noise 0.1."""
    rng = np.random.default_rng(seed)
    truth = np.sin(np.arange(n))
    observed = truth + 0.1 * np.random.default_rng(9).normal(size=n)
    return scored(observed, truth + noise * rng.normal(size=n), np.full(n, np.hypot(0.1, noise)))


class Repository:
    """A project in Git with a hand-made dvc.lock and cache: nothing of it was computed."""

    def __init__(self, path):
        self.path, self.cache = path, path / ".dvc/cache"
        self.outs, self.studies = {}, {}
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments):
        author = ("-c", "user.name=Tester", "-c", "user.email=tester@example.org")
        subprocess.run(["git", *author, *arguments], cwd=self.path, check=True, capture_output=True)

    def keep(self, content):
        """Return the hash under which the cache keeps bytes."""
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        file = self.cache / "files/md5" / md5[:2] / md5[2:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return md5

    def add(self, study, held_out, params=STUDY, alarms=(), x=None, left_out=None, **metrics):
        """Give a study held-out rows and a forecast of them, and one of its training rows, if there is one."""
        x = np.arange(len(held_out.observed)) if x is None else x
        test = "x,y\n" + "".join(f"{a},{b}\n" for a, b in zip(x, held_out.observed, strict=True))
        rows = "".join(
            f"{a},{b},0.1,{c}\n" for a, b, c in zip(x, held_out.forecast.mean, held_out.forecast.sd, strict=True)
        )
        predicted = f"x,mean,sd_f,sd_y\n{rows}"
        self.studies[study] = params
        self.outs[study] = {
            "synthesize": {"train.csv": test, "test.csv": test, "names.json": '{"target": "height"}'},
            "predict": {"test.csv": predicted, "grid.csv": predicted},
            "train/fit.json": json.dumps({"alarms": list(alarms)}),
        }
        if left_out:
            rows = zip(left_out.observed, left_out.forecast.mean, left_out.forecast.sd, strict=True)
            self.outs[study]["predict/loo.csv"] = "y,mean,sd_y\n" + "".join(f"{a},{b},{c}\n" for a, b, c in rows)
            scores = score(left_out.observed, left_out.forecast)
            metrics |= {"loo": {"n": len(left_out.observed), **scores}}
        test = {"n": len(x), **score(held_out.observed, held_out.forecast)}
        certificate = {"alarms": len(alarms), "converged": 1}
        file = self.path / f"data/{study}/evaluate/metrics.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        fit = {"log_marginal_likelihood": 1.5, "hyperparameters": {"noise.sd": float(held_out.forecast.sd[0])}}
        file.write_text(json.dumps({"test": test, "certificate": certificate, "fit": fit} | metrics))

    def commit(self, branch=None):
        """Write params.yaml and dvc.lock, and commit, on a new branch if one is named."""
        if branch:
            self.git("checkout", "-q", "-b", branch)
        stages = {}
        for study, outs in self.outs.items():
            for path, content in outs.items():
                out = {"path": f"data/{study}/{path}", "md5": self.hash_of(content)}
                params = {f"studies.{study}.model": self.studies[study]["model"]}
                stages[f"{path.partition('/')[0]}@{study}"] = {"params": {"params.yaml": params}, "outs": [out]}
        for name, content in {"params.yaml": {"studies": self.studies}, "dvc.lock": {"stages": stages}}.items():
            YAML(typ="safe").dump(content, self.path / name)
        self.git("add", "params.yaml", "dvc.lock", "data")
        self.git("commit", "-q", "--allow-empty", "-m", "State")

    def hash_of(self, content):
        if isinstance(content, str):
            return self.keep(content.encode())
        entries = [{"md5": self.keep(text.encode()), "relpath": name} for name, text in content.items()]
        return f"{self.keep_listing(entries)}.dir"

    def keep_listing(self, entries):
        content = json.dumps(entries).encode()
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        file = self.cache / "files/md5" / md5[:2] / f"{md5[2:]}.dir"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return md5

    def review(self, base="main", head="branch"):
        return review(*(open_revision(name, self.path, self.cache) for name in (base, head)))
