"""A data folder with files in it, as a server leaves one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from outfitter_server.blobs.files import FileBlobs
from outfitter_server.keys.authority import FileAuthority
from outfitter_server.keys.credentials import root_credentials
from outfitter_server.services.committer import Committer
from outfitter_server.stores.sqlite.store import SqliteStore


class Installation:
    """The parts of a server that write into a data folder."""

    def __init__(self, data: Path) -> None:
        self.data = data
        data.mkdir(exist_ok=True)
        root_credentials(data, {})
        FileAuthority(data / "ca", lambda: 1_700_000_000_000).ca_pem()
        self.store = SqliteStore(data)
        self.committer = Committer(self.store, lambda: 1_700_000_000_000)
        self.blobs = FileBlobs(data / "blobs")

    async def put(self, key: str, content: bytes) -> Path:
        """An object; the file with its bytes."""

        async def chunks() -> AsyncIterator[bytes]:
            yield content

        stored = await self.blobs.write(chunks())
        values = {
            "bucket": "images",
            "key": key,
            "blob": stored.name,
            "size": stored.size,
            "etag": stored.md5,
        }
        await self.committer.change(
            lambda batch: batch.tx.run(
                "object_put", **values, modified_at=batch.now, headers="{}", checksum=None
            )
        )
        return Path(self.blobs.path(stored.name))

    async def delete(self, key: str, blob: Path) -> None:
        """As the file store does: the row, then the bytes."""
        await self.committer.change(lambda batch: batch.tx.run("object_delete", bucket="images", key=key))
        await self.blobs.delete([blob.name])


@pytest_asyncio.fixture
async def installation(tmp_path: Path) -> AsyncIterator[Installation]:
    made = Installation(tmp_path / "data")
    yield made
    made.store.close()


@pytest.fixture
def make_installation() -> type[Installation]:
    return Installation
