"""What `dvc plots` is told: each picture has its template, and names what is there."""

import pytest
from conftest import ROOT

from gp.yaml import read_yaml
from stages import folder, parse_params, synthesize

PIPELINE = read_yaml(ROOT / "dvc.yaml")
TEMPLATES = {file.stem for file in (ROOT / ".dvc/plots").glob("*.json")}
STAGE_PLOTS = {
    path: told
    for stage in PIPELINE["stages"].values()
    for entry in stage["do"].get("plots", [])
    for path, told in entry.items()
}
POSTERIORS = {title: told for entry in PIPELINE["plots"] for title, told in entry.items()}


def test_every_template_has_its_pictures_and_every_picture_its_template():
    assert {told["template"] for told in [*STAGE_PLOTS.values(), *POSTERIORS.values()]} == TEMPLATES


@pytest.mark.parametrize("title", POSTERIORS)
def test_a_posterior_among_dvc_s_pictures_names_its_study_s_input_and_target(title):
    study, told = title.partition(" — ")[0], POSTERIORS[title]
    data = parse_params(study, synthesize.Params).data
    assert told == {
        "template": "posterior",
        "x": data.columns[0],
        "y": {str(folder(study, "predict") / "grid.csv"): "mean"},
        "y_label": data.target,
    }
