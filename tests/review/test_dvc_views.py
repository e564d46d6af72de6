"""What `dvc plots` is told: each picture has its template, of every study, without a word of the user's."""

from conftest import ROOT

from gp.yaml import read_yaml

PIPELINE = read_yaml(ROOT / "dvc.yaml")
TEMPLATES = {file.stem for file in (ROOT / ".dvc/plots").glob("*.json")}
STAGE_PLOTS = {
    path: told
    for stage in PIPELINE["stages"].values()
    for entry in stage["do"].get("plots", [])
    for path, told in entry.items()
}


def test_every_template_has_its_pictures_and_every_picture_its_template():
    assert {told["template"] for told in STAGE_PLOTS.values()} == TEMPLATES
    assert "plots" not in PIPELINE  # a list in which a study of one's own would be missing


def test_pictures_name_no_column_of_a_study_s_own(finished):
    for path, told in STAGE_PLOTS.items():
        for study in ("sine", "lake"):
            heading = (finished.path / path.replace("${key}", study)).read_text().partition("\n")[0].split(",")
            assert {told["x"], told["y"]} <= set(heading)
    curve, several = (
        (finished.path / f"data/{study}/evaluate/posterior.csv").read_text().splitlines() for study in ("sine", "lake")
    )
    assert len(several) == 1  # a posterior of several inputs is no curve
    assert len(curve) == 21
