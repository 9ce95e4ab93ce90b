"""Mounted files and folders: what a program can do with them, what it cannot, and how both sides stay equal."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench.errors import SandboxError, UserError
from workbench.sandbox.box import Sandbox


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox() as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with files of several kinds, beside something that is nobody's business."""
    (tmp_path / "secret.txt").write_text("secret")
    root = tmp_path / "work"
    (root / "sub").mkdir(parents=True)
    (root / "a.txt").write_text("one\ntwo\n")
    (root / "sub" / "b.bin").write_bytes(b"\x00\xff\x01")
    return root


def tree(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def fails(box: Sandbox, code: str) -> SandboxError:
    with pytest.raises(SandboxError) as caught:
        box.run(code)
    return caught.value


def test_a_file_is_read_whole_by_line_and_with_a_path(box: Sandbox, folder: Path) -> None:
    box.mount("in/a.txt", folder / "a.txt")
    assert box.run("open('in/a.txt').read()") == "one\ntwo\n"
    assert box.run("with open('in/a.txt', 'r') as f:\n    lines = [line.strip() for line in f]\nlines") == ["one", "two"]
    assert box.run("from pathlib import Path\n(Path('in') / 'a.txt').read_text()") == "one\ntwo\n"
    assert box.run("import os\n[os.path.exists('in/a.txt'), os.path.isdir('in'), os.listdir('in')]") == [True, True, ["a.txt"]]


def test_line_breaks_are_what_python_makes_of_them(box: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "dos.txt").write_bytes(b"a\r\nb\r")
    box.mount("dos.txt", tmp_path / "dos.txt")
    assert box.run("[open('dos.txt').read(), open('dos.txt', newline='').read()]") == ["a\nb\n", "a\r\nb\r"]


def test_a_binary_file_is_bytes_and_as_text_an_error_that_says_so(box: Sandbox, folder: Path) -> None:
    box.mount("b.bin", folder / "sub" / "b.bin", writable=True)
    assert box.run("open('b.bin', 'rb').read()") == b"\x00\xff\x01"
    assert "is not UTF-8 text" in fails(box, "open('b.bin').read()").message
    box.run("with open('b.bin', 'wb') as f:\n    x = f.write(b'\\x02\\xfe')")
    assert ((folder / "sub" / "b.bin").read_bytes(), box.files()["b.bin"]) == (b"\x02\xfe", b"\x02\xfe")


def test_append_appends_and_write_replaces(box: Sandbox, folder: Path) -> None:
    box.mount("a.txt", folder / "a.txt", writable=True)
    box.run("for i in range(3):\n    with open('a.txt', 'a') as f:\n        f.write(str(i))")
    assert (folder / "a.txt").read_text() == "one\ntwo\n012"
    box.run("with open('a.txt', 'w') as f:\n    f.write('new')")
    assert (folder / "a.txt").read_text() == "new"


def test_a_folder_is_mounted_with_all_that_is_in_it(box: Sandbox, folder: Path) -> None:
    box.mount("data", folder)
    assert box.run("import os\nsorted([os.path.join(d, n) for d, _, names in os.walk('data') for n in names])") == [
        "data/a.txt",
        "data/sub/b.bin",
    ]
    assert box.run("from pathlib import Path\n[str(p) for p in Path('data').rglob('*.txt')]") == ["data/a.txt"]


READ_ONLY = [
    "open('data/a.txt', 'w')",
    "open('data/a.txt', 'a')",
    "open('data/new.txt', 'w')",
    "import os\nos.remove('data/a.txt')",
    "import os\nos.rename('data/a.txt', 'data/c.txt')",
    "import os\nos.mkdir('data/new')",
    "import os\nos.rmdir('data/sub')",
    "from pathlib import Path\nPath('data/a.txt').write_text('x')",
    "from pathlib import Path\nPath('data/a.txt').write_bytes(b'x')",
]


@pytest.mark.parametrize("code", READ_ONLY)
def test_what_is_mounted_for_reading_cannot_be_changed(box: Sandbox, folder: Path, code: str) -> None:
    before = tree(folder)
    box.mount("data", folder)
    error = fails(box, code)
    assert (error.type, "mounted for writing" in error.message) == ("PermissionError", True)
    assert tree(folder) == before


def test_a_writable_folder_is_written_through(box: Sandbox, folder: Path) -> None:
    box.mount("work", folder, writable=True)
    box.run(
        "import os\nfrom pathlib import Path\n"
        "Path('work/a.txt').write_text('changed')\n"
        "os.makedirs('work/new/deep')\n"
        "open('work/new/deep/c.txt', 'w').write('c')\n"
        "os.remove('work/sub/b.bin')\nos.rmdir('work/sub')\n"
        "open('work/old.txt', 'w').write('moved')\nos.rename('work/old.txt', 'work/d.txt')\n"
        "os.rename('work/new', 'work/renamed')"
    )
    assert tree(folder) == {"a.txt": b"changed", "d.txt": b"moved", "renamed/deep/c.txt": b"c"}
    assert dict(box.files()) == {"work/a.txt": "changed", "work/d.txt": "moved", "work/renamed/deep/c.txt": "c"}


def test_a_single_writable_file_can_be_written_and_not_moved_away(box: Sandbox, folder: Path) -> None:
    box.mount("a.txt", folder / "a.txt", writable=True)
    for code in ("import os\nos.remove('a.txt')", "import os\nos.rename('a.txt', 'b.txt')"):
        assert "'/a.txt' is not inside a folder that is mounted for writing" in fails(box, code).message
    assert (folder / "a.txt").exists()


OUT = [
    "../secret.txt",
    "work/../../secret.txt",
    "/etc/passwd",
    "work/../../../etc/passwd",
    "work/sub/../../../secret.txt",
    "~/x",
    "//etc/passwd",
]


@pytest.mark.parametrize("path", OUT)
@pytest.mark.parametrize("mode", ["r", "w", "a"])
def test_no_path_leads_out_of_a_mount(box: Sandbox, folder: Path, path: str, mode: str) -> None:
    box.mount("work", folder, writable=True)
    assert fails(box, f"open({path!r}, {mode!r})").type in ("FileNotFoundError", "PermissionError")
    assert (folder.parent / "secret.txt").read_text() == "secret"


@pytest.mark.parametrize("name", ["", "/", ".", "..", "../x", "a/../../x", "/etc/x", "a\x00b", "a" * 2000])
def test_a_mount_has_a_plain_name(box: Sandbox, folder: Path, name: str) -> None:
    with pytest.raises(UserError, match="cannot be mounted as"):
        box.mount(name, folder)


def test_links_in_a_folder_are_left_out(box: Sandbox, folder: Path) -> None:
    (folder / "link.txt").symlink_to(folder.parent / "secret.txt")
    (folder / "links").symlink_to(folder.parent)
    box.mount("work", folder, writable=True)
    assert box.run("import os\nos.listdir('work')") == ["a.txt", "sub"]
    for path in ("work/link.txt", "work/links/secret.txt"):
        assert fails(box, f"open({path!r}).read()").type == "FileNotFoundError"


def test_a_file_that_has_become_a_link_is_gone_for_the_program_and_not_written_through(box: Sandbox, folder: Path) -> None:
    box.mount("work", folder, writable=True)
    box.run("x = open('work/a.txt').read()")
    (folder / "a.txt").unlink()
    (folder / "a.txt").symlink_to(folder.parent / "secret.txt")
    assert fails(box, "open('work/a.txt').read()").type == "FileNotFoundError"
    error = fails(box, "open('work/a.txt', 'w').write('overwritten')")
    assert (error.type, "it is a link now" in error.message) == ("PermissionError", True)
    assert (folder.parent / "secret.txt").read_text() == "secret"


def test_a_folder_that_has_become_a_link_is_not_written_through(box: Sandbox, folder: Path) -> None:
    box.mount("work", folder, writable=True)
    box.run("x = 1")
    (folder / "sub" / "b.bin").unlink()
    (folder / "sub").rmdir()
    outside = folder.parent / "outside"
    outside.mkdir()
    (folder / "sub").symlink_to(outside)
    assert fails(box, "open('work/sub/new.txt', 'w').write('x')").type == "PermissionError"
    assert list(outside.iterdir()) == []


def test_what_changes_on_the_host_is_there_for_the_next_block(box: Sandbox, folder: Path) -> None:
    box.mount("work", folder, writable=True)
    assert box.run("first = open('work/a.txt').read()\nfirst") == "one\ntwo\n"
    (folder / "a.txt").write_text("from outside")
    (folder / "new.txt").write_text("new")
    (folder / "sub" / "b.bin").unlink()
    assert box.run("import os\n[open('work/a.txt').read(), open('work/new.txt').read(), os.path.exists('work/sub/b.bin')]") == [
        "from outside",
        "new",
        False,
    ]
    box.close()  # what a rebuilt session sees is what each block saw
    assert box.run("[first, open('work/a.txt').read()]") == ["one\ntwo\n", "from outside"]


def test_files_can_be_read_written_and_deleted_from_outside(box: Sandbox, folder: Path) -> None:
    box.mount("work", folder, writable=True)
    box.mount("in.txt", folder.parent / "secret.txt")
    files = box.files()
    files["work/a.txt"] = "assigned"
    files["work/deep/c.bin"] = b"\xff"
    del files["work/sub/b.bin"]
    assert tree(folder) == {"a.txt": b"assigned", "deep/c.bin": b"\xff"}
    assert box.run("open('work/deep/c.bin', 'rb').read() + open('work/a.txt', 'rb').read()") == b"\xffassigned"
    box.run("open('work/a.txt', 'w').write('inside')")
    assert (files["work/a.txt"], sorted(files), len(files)) == ("inside", ["work/a.txt", "work/deep/c.bin"], 2)
    for name in ("in.txt", "elsewhere.txt"):
        with pytest.raises(UserError, match="is in no writable mount"):
            files[name] = "x"


def test_quotas_are_errors_with_names(box: Sandbox, folder: Path) -> None:
    box.limit(max_file=100, max_files=250)
    box.mount("work", folder, writable=True)
    error = fails(box, "open('work/a.txt', 'w').write('x' * 101)")
    assert (error.type, "a.txt' would have 101 bytes; a file may have 100" in error.message) == ("OSError", True)
    error = fails(box, "while True:\n    with open('work/a.txt', 'a') as f:\n        f.write('xxxxxxxxxx')")
    assert "Disk quota exceeded" in error.message
    error = fails(box, "for i in range(9): open('work/' + str(i), 'w').write('x' * 90)")
    assert "all files together may have 250 bytes" in error.message
    assert box.run("try:\n    open('work/9', 'w').write('x' * 90)\nexcept OSError as e:\n    r = 'caught'\nr") == "caught"


def test_there_is_a_bound_to_how_many_files_there_are(box: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.sandbox.files.MAX_ENTRIES", 20)
    box.mount("work", folder, writable=True)
    assert "there may be 20 files" in fails(box, "for i in range(100): open('work/' + str(i), 'w').close()").message
    assert "there may be 20 files" in fails(box, "import os\nos.makedirs('work/' + 'd/' * 100)").message


def test_what_is_too_big_is_not_mounted(box: Sandbox, folder: Path) -> None:
    box.limit(max_file=5)
    with pytest.raises(UserError, match="is too much to mount"):
        box.mount("work", folder)
    with pytest.raises(UserError, match="is not a file or folder"):
        box.mount("work", folder / "missing")


def test_a_fifo_or_device_in_a_folder_is_left_out(box: Sandbox, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    box.mount("work", folder)
    assert box.run("import os\nos.listdir('work')") == ["a.txt", "sub"]


def test_an_interrupted_block_leaves_no_trace_on_the_host(box: Sandbox, folder: Path) -> None:
    box.limit(max_seconds=0.5)
    box.mount("work", folder, writable=True)
    before = tree(folder)
    fails(box, "open('work/a.txt', 'w').write('half')\nwhile True: pass")
    assert tree(folder) == before
    assert box.run("open('work/a.txt').read()") == "one\ntwo\n"


def test_time_spent_on_files_is_the_programs_own(box: Sandbox, folder: Path) -> None:
    box.limit(max_seconds=1.0)
    box.mount("work", folder, writable=True)
    error = fails(box, "x = 'x' * 2**20\nwhile True: open('work/a.txt', 'w').write(x)")
    assert (error.type, "longer than 1 s" in error.message) == ("TimeoutError", True)


def test_a_reader_of_the_host_never_sees_half_a_file(box: Sandbox, folder: Path) -> None:
    box.mount("work", folder, writable=True)
    before = (folder / "a.txt").stat().st_ino
    (folder / "a.txt").chmod(0o600)
    box.run("open('work/a.txt', 'w').write('new')")
    after = (folder / "a.txt").stat()
    assert (after.st_ino != before, after.st_mode & 0o777) == (True, 0o600)
    assert [name for name in os.listdir(folder) if name.endswith(".part")] == []


def test_a_reset_forgets_the_mounts_and_leaves_the_host_alone(box: Sandbox, folder: Path) -> None:
    before = tree(folder)
    box.mount("work", folder, writable=True)
    box.run("x = open('work/a.txt').read()")
    box.reset()
    assert fails(box, "open('work/a.txt')").type == "FileNotFoundError"
    assert (tree(folder), dict(box.files())) == (before, {})
