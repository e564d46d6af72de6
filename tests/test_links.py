"""Links among the tables that lead nowhere are named before DVC stops at them."""

from pathlib import Path

from stages.wrapper.inputs import broken_links


def test_links_to_nothing_are_named_but_for_those_that_dvc_ignores(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("data/raw")
    (folder / "more").mkdir(parents=True)
    (folder / "a.csv").write_text("x\n1\n")
    (folder / "good.csv").symlink_to(tmp_path / "data/raw/a.csv")
    for name in (".#a.csv", "gone.csv", "more/gone.csv"):
        (folder / name).symlink_to("nowhere")
    Path(".dvcignore").write_text(".#*\n")
    assert broken_links(folder) == [folder / "gone.csv", folder / "more/gone.csv"]
