"""Job templates: made, described, listed, deleted, and found for the jobs that are made from them."""

from collections.abc import Mapping

import msgspec

from outfitter_server.base.arns import iot_resource
from outfitter_server.base.installation import Installation
from outfitter_server.base.pages import Page, decode_token, encode_token
from outfitter_server.base.refusals import Conflict, InvalidRequest, NotFound
from outfitter_server.jobs.configs import configs_of, configs_text
from outfitter_server.jobs.managed_templates import managed_template_of
from outfitter_server.jobs.templates import Template, template_of
from outfitter_server.services.committer import Batch, Committer
from outfitter_server.services.ports import Row, Transaction

ARN_KIND = "jobtemplate"


class Templates:
    """The templates of the installation, and AWS's managed ones by their ARNs."""

    def __init__(self, committer: Committer, installation: Installation) -> None:
        """``installation`` tells whose ARNs are ours."""
        self._committer = committer
        self._installation = installation

    async def create(self, template: Template, tags: Mapping[str, str]) -> Template:
        """Store a template; its ``created_at`` is set here.

        Raises:
            Conflict: the id is taken, by whatever content.
        """

        def apply(batch: Batch) -> Template:
            if batch.tx.one("job_template_by_id", id=template.id) is not None:
                raise Conflict(f"Job template {template.id} already exists", resourceId=template.id)
            batch.tx.run(
                "job_template_insert",
                id=template.id,
                description=template.description,
                created_at=batch.now,
                document_source=template.document_source,
                role_arn=template.role_arn,
                url_expires_seconds=template.url_expires_seconds,
                configs=configs_text(template.configs),
                tags=msgspec.json.encode(tags).decode(),
                document=template.document,
            )
            return msgspec.structs.replace(template, created_at=batch.now)

        return await self._committer.change(apply)

    def get(self, tx: Transaction, arn: str) -> Template:
        """The template, one's own or a managed one, that an ARN names.

        Raises:
            InvalidRequest: no ARN of a job template, or one of another account.
            NotFound: there is no such template.
        """
        managed = managed_template_of(arn)
        if managed is not None:
            return template_of(managed)
        kind, template_id = iot_resource(arn, self._installation)
        if kind != ARN_KIND:
            raise InvalidRequest(f"jobTemplateArn: {arn!r} is the ARN of a {kind}, not of a job template")
        return _existing(tx, template_id)

    def read(self, arn: str) -> Template:
        """As ``get``, of what is committed."""
        return self._committer.read(lambda tx: self.get(tx, arn))

    def describe(self, template_id: str) -> Template:
        """One of one's own.

        Raises:
            NotFound: there is none with this id.
        """
        return self._committer.read(lambda tx: _existing(tx, template_id))

    async def delete(self, template_id: str) -> None:
        """Remove a template; jobs that were made from it stay as they are.

        Raises:
            NotFound: there is none with this id.
        """

        def apply(batch: Batch) -> None:
            _existing(batch.tx, template_id)
            batch.tx.run("job_template_delete", id=template_id)

        await self._committer.change(apply)

    def page(self, *, token: str | None, limit: int) -> Page[Template]:
        """Templates by id, without their documents.

        Raises:
            InvalidRequest: the token is not of this listing.
        """
        (after,) = decode_token(token, str) or ("",)
        rows = self._committer.read(lambda tx: tx.all("job_templates_page", after=after, limit=limit + 1))
        items = [
            Template(id=row["id"], description=row["description"], created_at=row["created_at"], document="")
            for row in rows[:limit]
        ]
        return Page(items, encode_token([items[-1].id]) if len(rows) > limit else None)


def _existing(tx: Transaction, template_id: str) -> Template:
    row = tx.one("job_template_by_id", id=template_id)
    if row is None:
        raise NotFound(f"Job template {template_id} was not found")
    return _template(row)


def _template(row: Row) -> Template:
    return Template(
        id=row["id"],
        description=row["description"],
        document=row["document"],
        document_source=row["document_source"],
        role_arn=row["role_arn"],
        url_expires_seconds=row["url_expires_seconds"],
        configs=configs_of(row["configs"]),
        created_at=row["created_at"],
    )
