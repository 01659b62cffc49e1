"""Permissions of functions: statements added and removed one at a time, and asked about."""

from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import Conflict, InvalidRequest, NotFound
from outfitter_server.functions.names import function_arn
from outfitter_server.functions.permissions import (
    INVOKE,
    POLICY_BYTES_MAX,
    Permission,
    Request,
    allows,
    policy,
)
from outfitter_server.services.committer import Batch, Committer
from outfitter_server.services.functions import RevisionMismatch, StoredFunction, function_or_refuse
from outfitter_server.services.ports import Transaction


class FunctionPermissions:
    """Who may call which function."""

    def __init__(self, committer: Committer, installation: Installation) -> None:
        self._committer = committer
        self._installation = installation

    async def add(self, function: str, permission: Permission, revision: str | None = None) -> None:
        """Add a statement.

        Raises:
            NotFound: no such function.
            Conflict: the statement's id is taken.
            InvalidRequest: the policy would become too long.
            RevisionMismatch: the function is not at this revision.
        """

        def change(batch: Batch) -> None:
            self._expect(batch.tx, function, revision)
            there = permissions_of(batch.tx, function)
            if any(each.id == permission.id for each in there):
                raise Conflict(
                    f"The statement id ({permission.id}) provided already exists. Please provide a new statement id, "
                    "or remove the existing statement.",
                    Type="User",
                )
            whole = policy([*there, permission], function_arn(function, self._installation))
            if len(whole.encode()) > POLICY_BYTES_MAX:
                raise InvalidRequest(
                    f"the policy of {function} would have more than {POLICY_BYTES_MAX} bytes"
                )
            batch.tx.run(
                "function_permission_insert",
                function=function,
                id=permission.id,
                action=permission.action,
                principal=permission.principal,
                source_arn=permission.source_arn,
                source_account=permission.source_account,
                url_auth_type=permission.url_auth_type,
                via_url=permission.via_url,
            )

        await self._committer.change(change)

    async def remove(self, function: str, statement_id: str, revision: str | None = None) -> None:
        """Remove a statement.

        Raises:
            NotFound: no such function or statement.
            RevisionMismatch: the function is not at this revision.
        """

        def change(batch: Batch) -> None:
            self._expect(batch.tx, function, revision)
            if not batch.tx.run("function_permission_delete", function=function, id=statement_id):
                raise NotFound(f"Statement {statement_id} is not found in resource policy.", Type="User")

        await self._committer.change(change)

    def policy(self, function: str) -> tuple[str, str]:
        """The policy, JSON, and the function's revision.

        Raises:
            NotFound: no such function, or it has no policy.
        """

        def ask(tx: Transaction) -> tuple[StoredFunction, list[Permission]]:
            return function_or_refuse(tx, function, self._installation), permissions_of(tx, function)

        found, there = self._committer.read(ask)
        if not there:
            raise NotFound("The resource you requested does not exist.", Type="User")
        return policy(there, function_arn(function, self._installation)), found.revision

    def allows(self, function: str, request: Request) -> bool:
        """Whether some statement lets somebody without a key of the account do this."""
        return allows(self._committer.read(lambda tx: permissions_of(tx, function)), request)

    def allows_service(self, function: str, service: str, source_arn: str) -> bool:
        """Whether a service such as ``iot.amazonaws.com`` may invoke the function on behalf of a resource."""
        request = Request(
            action=INVOKE,
            principal=service,
            source_arn=source_arn,
            source_account=self._installation.account,
        )
        return self.allows(function, request)

    def _expect(self, tx: Transaction, function: str, revision: str | None) -> None:
        found = function_or_refuse(tx, function, self._installation)
        if revision is not None and revision != found.revision:
            raise RevisionMismatch(
                "The Revision Id provided does not match the latest Revision Id.", Type="User"
            )


def permissions_of(tx: Transaction, function: str) -> list[Permission]:
    """A function's statements by id; the policy's length bounds them."""
    return [
        Permission(
            id=row["id"],
            action=row["action"],
            principal=row["principal"],
            source_arn=row["source_arn"],
            source_account=row["source_account"],
            url_auth_type=row["url_auth_type"],
            via_url=None if row["via_url"] is None else bool(row["via_url"]),
        )
        for row in tx.all("function_permissions_of", function=function)
    ]
