"""`python -m stages.versions` records the installed versions of the packages that dvc.yaml tracks, in versions.yaml."""

from gp.yaml import read_yaml
from stages import installed_version
from stages.wrapper.inputs import PIPELINE, VERSIONS


def main() -> None:
    """Write versions.yaml."""
    entries = [stage["do"]["params"] for stage in read_yaml(PIPELINE)["stages"].values()]
    packages = {name for items in entries for item in items if isinstance(item, dict) for name in item[VERSIONS.name]}
    lines = [f'{name}: "{installed_version(name)}"\n' for name in sorted(packages)]
    header = "# Packages whose arithmetic or bytes reach an output; `make versions` writes this file.\n"
    VERSIONS.write_text(header + "".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
