"""A command that cannot write what it was asked for says so before any work, and ends with 2."""

import pytest

from data_pipeline.simulated import fidelity, look, picture, reference


@pytest.fixture(params=["fidelity", "look", "picture", "reference"])
def asked(request, tmp_path, monkeypatch, capsys):
    """A command, given the file to write: what it says; it does not get to the work."""

    def work(*_, **__):
        raise AssertionError("worked before it looked where to write")

    monkeypatch.setattr(reference, "read_folder", work)
    monkeypatch.setattr(look, "read", work)
    monkeypatch.setattr(picture, "read_infants", work)

    def ask(out) -> str:
        folder = str(tmp_path)
        code = {
            "fidelity": lambda: fidelity.main([folder, f"--figure={out}"]),
            "look": lambda: look.main([folder, f"--real={folder}", f"--out={out}"]),
            "picture": lambda: picture.main([folder, f"--out={out}"]),
            "reference": lambda: reference.main([folder, f"--out={out}"]),
        }[request.param]()
        assert code == 2
        return capsys.readouterr().err

    ask.suffix = ".json" if request.param == "reference" else ".png"
    return ask


@pytest.mark.parametrize("name", ["x.foo", "x"])
def test_a_name_that_no_picture_can_have_is_refused_with_those_that_it_may_have(
    name, asked, tmp_path
):
    captured = asked(tmp_path / name)
    assert f"{tmp_path / name}: expected a name in " in captured and asked.suffix in captured


def test_a_folder_that_does_not_exist_is_named(asked, tmp_path):
    out = tmp_path / "nowhere" / f"x{asked.suffix}"
    assert f"{out}: no such folder: {out.parent}; create it, or name another" in asked(out)


def test_a_folder_in_the_place_of_the_file_is_named(asked, tmp_path):
    out = tmp_path / f"x{asked.suffix}"
    out.mkdir()
    assert f"{out}: is a folder; expected the name of a file" in asked(out)


def test_a_figure_may_be_what_matplotlib_can_draw():
    assert {"png", "pdf", "svg"} <= set(fidelity._formats())
