"""A backup holds files that other processes go on changing: parts that are replaced, files that grow."""

import shutil
from pathlib import Path

import pytest

from forebay.backup import files, manifest
from forebay.backup.files import Unheld, copy, hold, replaced, staged
from forebay.backup.manifest import File, Manifest, NoBackup
from forebay.commands import backup as command


def part(table: Path, name: str) -> Path:
    (table / name / "daily.proj").mkdir(parents=True)
    for file in ("data.bin", "count.txt", "daily.proj/data.bin"):
        (table / name / file).write_text(name)
    return table / name


def everything(_: str) -> bool:
    return False


@pytest.mark.parametrize(
    ("names", "gone"),
    [
        (["202611_1_1_0", "202611_2_2_0"], set()),
        (["202611_1_1_0", "202611_2_2_0", "202611_1_2_1"], {"202611_1_1_0", "202611_2_2_0"}),
        (["202611_1_1_0", "202612_1_2_1"], set()),
        (["202611_1_1_0", "202611_1_1_0_5"], {"202611_1_1_0"}),
        (["202611_1_4_2_9", "202611_1_4_1_9", "202611_5_5_0"], {"202611_1_4_1_9"}),
        (["202611_1_9_3", "202611_2_3_1", "202611_4_9_2", "202611_10_11_1"], {"202611_2_3_1", "202611_4_9_2"}),
        (["detached", "format_version.txt", "deduplication_logs"], set()),
    ],
)
def test_what_was_replaced_is_known_by_its_name(names: list[str], gone: set[str]) -> None:
    """Sources of a merge, and what a mutation wrote anew, lie within the blocks of another part of the partition."""
    assert replaced(names) == gone
    assert replaced(reversed(names)) == gone


def test_a_part_that_goes_while_it_is_listed_brings_the_one_that_replaced_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two parts are merged and removed after the table was listed: the next listing has the merged part, whole."""
    table = tmp_path / "store" / "abc"
    for name in ("202611_1_1_0", "202611_2_2_0"):
        part(table, name)
    link, linked = files.link, []

    def merging(source: Path, target: Path) -> int:
        linked.append(source)
        if len(linked) == 4:  # in the middle of the second part
            part(table, "202611_1_2_1")
            shutil.rmtree(table / "202611_1_1_0")
            shutil.rmtree(table / "202611_2_2_0")
        return link(source, target)

    monkeypatch.setattr(files, "link", merging)
    held = hold(tmp_path / "store", tmp_path / "held", everything)
    names = {str(path.relative_to(tmp_path / "held")) for path in held}
    assert names == {f"abc/202611_1_2_1/{file}" for file in ("data.bin", "count.txt", "daily.proj/data.bin")}


def test_what_is_held_stays_what_it_was(tmp_path: Path) -> None:
    """Files are appended to, replaced and removed: the copy has the bytes of the moment at which they were held.

    Links stay links, and what is left out is not copied.
    """
    source = tmp_path / "source"
    (source / "empty").mkdir(parents=True)
    for name in ("grows", "replaced", "removed", "tmp_x"):
        (source / name).write_text(name)
    (source / "link").symlink_to("empty")
    held = hold(source, tmp_path / "held", lambda name: name.startswith("tmp"))
    with (source / "grows").open("a") as file:
        file.write(" and grows")
    (source / "new").write_text("another")
    (source / "new").replace(source / "replaced")
    (source / "removed").unlink()
    for path, size in held.items():
        copy(path, tmp_path / "copy" / path.name, size)
    assert {path.name: path.read_text() for path in (tmp_path / "copy").iterdir()} == {
        name: name for name in ("grows", "replaced", "removed")
    }
    assert (str((tmp_path / "held" / "link").readlink()), (tmp_path / "held" / "empty").is_dir()) == ("empty", True)


def test_a_file_that_became_shorter_is_no_copy(tmp_path: Path) -> None:
    """An error is better than half a file."""
    (tmp_path / "short").write_text("abc")
    with pytest.raises(Unheld, match="1 bytes fewer"):
        copy(tmp_path / "short", tmp_path / "copy", 4)


def test_one_at_a_time(tmp_path: Path) -> None:
    """A second backup is refused. What a killed backup left is removed, but nothing of one that runs."""
    with staged(tmp_path) as stage:
        (stage / "held").write_text("x")
        files.forget(tmp_path)
        assert (stage / "held").exists()
        with pytest.raises(Unheld, match="another backup"), staged(tmp_path):
            pass
    assert not (tmp_path / files.STAGE).exists()
    (tmp_path / files.STAGE).mkdir()
    files.forget(tmp_path)
    assert not (tmp_path / files.STAGE).exists()


def test_a_server_in_the_engines_place_is_not_taken_for_it(tmp_path: Path) -> None:
    """A server's files are not copied: nothing is begun, and the message names the server's own way."""
    (tmp_path / "data" / "redis").mkdir(parents=True)
    (tmp_path / "data" / "clickhouse" / "server").mkdir(parents=True)
    assert "its own BACKUP" in command._unfit(tmp_path / "data", tmp_path / "copy")


@pytest.mark.parametrize("name", ["/etc/passwd", "../outside", "redis/../../outside"])
def test_a_manifest_names_nothing_outside(tmp_path: Path, name: str) -> None:
    """A backup from elsewhere can write only into the directory that was named."""
    said = Manifest(forebay="0", began_at="", tables="", stored=0, waiting=0, files={name: File(0, "")}, links={})
    said.write(tmp_path)
    with pytest.raises(NoBackup, match="outside"):
        manifest.read(tmp_path)
