"""URLs of functions: one a function at most, found by an id that says nothing about it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import Final

import msgspec

from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import Conflict, NotFound
from outfitter_server.functions.names import function_arn
from outfitter_server.functions.url_cors import UrlCors, check_cors
from outfitter_server.services.committer import Batch, Committer
from outfitter_server.services.functions import function_or_refuse
from outfitter_server.services.ports import Row, Transaction

PREFIX: Final = "/_url/"


class UrlAuth(Enum):
    """Who may call: holders of a key, or whom the function's policy lets."""

    IAM = "AWS_IAM"
    NONE = "NONE"


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionUrl:
    """A URL's configuration; times in milliseconds since the epoch. ``cors`` None: the function answers preflights."""

    id: str
    function: str
    auth: UrlAuth
    cors: UrlCors | None
    created_at: int
    modified_at: int


class FunctionUrls:
    """The URLs of this installation."""

    def __init__(
        self, committer: Committer, installation: Installation, new_url_id: Callable[[], str]
    ) -> None:
        """``new_url_id`` gives 32 lower-case letters and digits at random."""
        self._committer = committer
        self._installation = installation
        self._new_url_id = new_url_id

    async def create(self, function: str, auth: UrlAuth, cors: UrlCors | None) -> FunctionUrl:
        """Give a function a URL.

        Raises:
            NotFound: no such function.
            Conflict: it has one.
            InvalidRequest: the cross-origin rules are none.
        """

        def change(batch: Batch) -> FunctionUrl:
            function_or_refuse(batch.tx, function, self._installation)
            if batch.tx.one("function_url_of", function=function) is not None:
                arn = function_arn(function, self._installation)
                raise Conflict(
                    f"Failed to create function url config for [functionArn = {arn}]. Error message: "
                    f"FunctionUrlConfig exists for this Lambda function",
                    Type="User",
                )
            made = FunctionUrl(
                id=self._new_url_id(),
                function=function,
                auth=auth,
                cors=None if cors is None else check_cors(cors),
                created_at=batch.now,
                modified_at=batch.now,
            )
            return _write(batch, made)

        return await self._committer.change(change)

    async def update(self, function: str, auth: UrlAuth | None, cors: UrlCors | None) -> FunctionUrl:
        """Change what is given; cross-origin rules are replaced whole, and without any rule they go.

        Raises:
            NotFound: no such function, or it has no URL.
            InvalidRequest: the cross-origin rules are none.
        """

        def change(batch: Batch) -> FunctionUrl:
            found = self._of(batch.tx, function)
            made = replace(found, auth=auth or found.auth, modified_at=batch.now)
            if cors is not None:
                made = replace(made, cors=None if cors == UrlCors() else check_cors(cors))
            return _write(batch, made)

        return await self._committer.change(change)

    async def delete(self, function: str) -> None:
        """Take a function's URL away.

        Raises:
            NotFound: no such function, or it has no URL.
        """

        def change(batch: Batch) -> None:
            self._of(batch.tx, function)
            batch.tx.run("function_url_delete", function=function)

        await self._committer.change(change)

    def of(self, function: str) -> FunctionUrl:
        """A function's URL.

        Raises:
            NotFound: no such function, or it has no URL.
        """
        return self._committer.read(lambda tx: self._of(tx, function))

    def find(self, url_id: str) -> FunctionUrl | None:
        """The URL with this id, None when there is none."""
        row = self._committer.read(lambda tx: tx.one("function_url_by_id", id=url_id))
        return None if row is None else _url(row)

    def _of(self, tx: Transaction, function: str) -> FunctionUrl:
        row = tx.one("function_url_of", function=function)
        if row is None:
            function_or_refuse(tx, function, self._installation)
            raise NotFound("The resource you requested does not exist.", Type="User")
        return _url(row)


def _url(row: Row) -> FunctionUrl:
    return FunctionUrl(
        id=row["id"],
        function=row["function"],
        auth=UrlAuth(row["auth_type"]),
        cors=msgspec.json.decode(row["cors"], type=UrlCors | None),
        created_at=row["created_at"],
        modified_at=row["modified_at"],
    )


def _write(batch: Batch, made: FunctionUrl) -> FunctionUrl:
    batch.tx.run(
        "function_url_put",
        id=made.id,
        function=made.function,
        auth_type=made.auth.value,
        cors=msgspec.json.encode(None if made.cors is None else asdict(made.cors)).decode(),
        created_at=made.created_at,
        modified_at=made.modified_at,
    )
    return made
