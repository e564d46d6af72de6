"""`python -m review.lock.fetch REVISION` fetches a revision's outputs from the remote into DVC's cache.

`dvc fetch` can only do so for the files on disk, all branches or all commits; a reviewer needs one revision.
"""

import sys

from dvc.exceptions import DvcException
from dvc.repo import Repo

from gp.spec import InputError
from review.lock.revisions import open_revision


def main(revision: str) -> str:
    """Fetch, and return a message about what was fetched; raises InputError if its dvc.lock is none."""
    _ = open_revision(revision).stages  # DVC would take any text for a hash
    with Repo() as repo:
        came = repo.fetch(revs=[revision], workspace=False)
    return f"{came} files of {revision} came into the cache"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        print("usage: python -m review.lock.fetch REVISION   (e.g. origin/main)", file=sys.stderr)
        sys.exit(2)
    try:
        print(main(sys.argv[1]))
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except DvcException as error:
        print(
            f"{error}\n`dvc remote list` names the remotes it can come from, `git fetch` brings branches",
            file=sys.stderr,
        )
        sys.exit(1)
