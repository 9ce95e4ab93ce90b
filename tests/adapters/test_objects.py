"""The object store keeps the promises of `BlobStore`, and a directory of its own in order."""

from urllib.parse import quote

import pytest

from tests.conformance.blob_store import BlobStoreSuite
from workbench.adapters.objects import ObjectBlobStore
from workbench.errors import BlobCorrupt, ConfigurationError, StoreError


def url_of(path):
    return "file://" + quote(str(path))


class TestObjectBlobStore(BlobStoreSuite):
    @pytest.fixture
    def open_blobs(self, tmp_path):
        return lambda: ObjectBlobStore(url_of(tmp_path / "a place with spaces"))


async def test_a_blob_lies_under_its_hash(tmp_path):
    ref = await ObjectBlobStore(url_of(tmp_path)).put(b"bytes")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()] == [f"{ref.sha256[:2]}/{ref.sha256}"]


async def test_a_byte_altered_on_disk_is_found(tmp_path):
    blobs = ObjectBlobStore(url_of(tmp_path))
    ref = await blobs.put(b"bytes")
    (tmp_path / ref.sha256[:2] / ref.sha256).write_bytes(b"bytez")
    with pytest.raises(BlobCorrupt, match=ref.sha256):
        await blobs.get(ref)


async def test_putting_again_repairs_a_damaged_blob(tmp_path):
    blobs = ObjectBlobStore(url_of(tmp_path))
    ref = await blobs.put(b"bytes")
    (tmp_path / ref.sha256[:2] / ref.sha256).write_bytes(b"")
    await blobs.put(b"bytes")
    assert await blobs.get(ref) == b"bytes"


async def test_references_stay_valid_when_the_store_moves(tmp_path):
    ref = await ObjectBlobStore(url_of(tmp_path / "here")).put(b"bytes")
    (tmp_path / "here").rename(tmp_path / "there")
    assert await ObjectBlobStore(url_of(tmp_path / "there")).get(ref) == b"bytes"


async def test_a_relative_url_is_relative_to_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blobs = ObjectBlobStore("file:.workbench/blobs")
    monkeypatch.chdir(tmp_path.parent)
    ref = await blobs.put(b"bytes")
    assert (tmp_path / ".workbench" / "blobs" / ref.sha256[:2] / ref.sha256).read_bytes() == b"bytes"
    assert (tmp_path / ".workbench" / ".gitignore").read_text() == "*\n"


async def test_a_path_after_file_is_taken_as_it_is(tmp_path):
    blobs = ObjectBlobStore(f"file:{tmp_path}/100% #1 ?")
    ref = await blobs.put(b"bytes")
    assert (tmp_path / "100% #1 ?" / ref.sha256[:2] / ref.sha256).exists()


async def test_a_blob_that_cannot_be_written_is_an_error_that_names_the_place(tmp_path):
    blobs = ObjectBlobStore(url_of(tmp_path / "blobs"))
    (tmp_path / "blobs").rmdir()
    (tmp_path / "blobs").write_text("a file in the way")
    with pytest.raises(StoreError, match="blobs"):
        await blobs.put(b"bytes")


def test_a_directory_that_cannot_be_made_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        ObjectBlobStore(url_of(tmp_path / "file" / "blobs"))


@pytest.mark.parametrize("url", ["s3://bucket/blobs", "gs://bucket", "blobs", "", "file:", "file://host/share", "file:///x?y=1"])
def test_another_url_is_refused_with_the_form_to_write(url):
    with pytest.raises(ConfigurationError, match="file:relative/directory"):
        ObjectBlobStore(url)
