"""Files that are written whole or not at all."""

import os

import pytest

from jaxpose.files import remove_parts, write_json, write_text, written_whole


def test_a_file_that_could_not_be_written_whole_is_as_it_was(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "first")
    with pytest.raises(KeyError), written_whole(path) as beside:
        beside.write_text("half of the sec")
        raise KeyError
    assert path.read_text() == "first" and os.listdir(tmp_path) == ["a.txt"]
    write_text(path, "second")
    assert path.read_text() == "second" and os.listdir(tmp_path) == ["a.txt"]


def test_a_full_disk_is_reported_with_the_name_of_the_file(tmp_path):
    with pytest.raises(OSError, match="a.json"), written_whole(tmp_path / "a.json"):
        raise OSError(28, "No space left on device")  # as numpy and zipfile raise it
    with pytest.raises(FileNotFoundError, match="no folder/a.json"):
        write_json(tmp_path / "no folder" / "a.json", {})
    assert os.listdir(tmp_path) == []


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path):
    for name in (".a.json.12.part", ".b.json.12.part", "a.json", ".a.json"):
        (tmp_path / name).write_text("")
    remove_parts(tmp_path / "a.json")
    assert sorted(os.listdir(tmp_path)) == [".a.json", ".b.json.12.part", "a.json"]
