"""What every `BlobStore` promises, sentence by sentence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from workbench.errors import BlobCorrupt, BlobMissing
from workbench.ports import BlobStore
from workbench.record.codec import sha256


class BlobStoreSuite:
    """Give `open_blobs()`, a function that opens a new, empty store."""

    @pytest.fixture
    async def blobs(self, open_blobs: Callable[[], BlobStore]) -> AsyncIterator[BlobStore]:
        blobs = open_blobs()
        yield blobs
        await blobs.close()

    @pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 8192])
    async def test_what_was_put_is_what_is_got(self, blobs, data):
        assert await blobs.get(await blobs.put(data)) == data

    async def test_a_reference_says_what_the_bytes_are_and_not_where(self, blobs):
        ref = await blobs.put(b"bytes", "text/plain")
        assert (ref.uri, ref.sha256, ref.size_bytes, ref.media_type) == (f"sha256:{sha256(b'bytes')}", sha256(b"bytes"), 5, "text/plain")

    async def test_the_same_bytes_have_one_blob(self, blobs):
        assert await blobs.put(b"bytes") == await blobs.put(b"bytes")

    async def test_the_same_bytes_may_be_put_at_once(self, blobs):
        data = b"x" * 200_000
        refs = await asyncio.gather(*(blobs.put(data) for _ in range(8)))
        assert len({ref.uri for ref in refs}) == 1
        assert await blobs.get(refs[0]) == data

    async def test_a_blob_that_is_not_there_is_missing(self, blobs):
        ref = (await blobs.put(b"bytes")).model_copy(update={"uri": f"sha256:{sha256(b'other')}", "sha256": sha256(b"other")})
        with pytest.raises(BlobMissing, match=sha256(b"other")):
            await blobs.get(ref)

    async def test_bytes_that_do_not_match_the_hash_of_the_reference_are_corrupt(self, blobs):
        ref = (await blobs.put(b"bytes")).model_copy(update={"sha256": sha256(b"other")})
        with pytest.raises(BlobCorrupt):
            await blobs.get(ref)

    @pytest.mark.parametrize(
        "uri", ["sha256:../../etc/passwd", "file:///etc/passwd", "sha256:", "", f"sha256:{'A' * 64}", f"sha256:{'a' * 64}\n"]
    )
    async def test_a_forged_reference_reaches_nothing(self, blobs, uri):
        ref = (await blobs.put(b"bytes")).model_copy(update={"uri": uri})
        with pytest.raises(BlobMissing):
            await blobs.get(ref)

    async def test_a_blob_that_was_removed_is_missing_and_may_be_removed_again(self, blobs):
        ref, other = await blobs.put(b"bytes"), await blobs.put(b"others")
        assert [await blobs.remove(ref.sha256), await blobs.remove(ref.sha256)] == [True, False]
        with pytest.raises(BlobMissing):
            await blobs.get(ref)
        assert await blobs.get(other) == b"others"
