"""Buckets: make, find, list, remove; their policies and CORS rules."""

from collections.abc import Sequence

import msgspec

from outfitter_server.base.pages import Page
from outfitter_server.objects.bucket_policy import Decision, decide, parse_bucket_policy
from outfitter_server.objects.cors import CorsRule, check_rules
from outfitter_server.objects.names import check_bucket_name
from outfitter_server.objects.refusals import (
    BucketAlreadyOwnedByYou,
    BucketNotEmpty,
    NoSuchBucketPolicy,
    NoSuchCorsConfiguration,
)
from outfitter_server.objects.values import Bucket
from outfitter_server.services.committer import Batch, Committer
from outfitter_server.services.object_rows import bucket_of, need_bucket


class Buckets:
    """The buckets of the installation; all belong to its one account."""

    def __init__(self, committer: Committer) -> None:
        self._committer = committer

    async def create(self, name: str) -> Bucket:
        """Make a bucket.

        Raises:
            InvalidBucketName: the name breaks a rule.
            BucketAlreadyOwnedByYou: it is there already.
        """
        check_bucket_name(name)

        def change(batch: Batch) -> Bucket:
            if batch.tx.one("bucket_by_name", name=name) is not None:
                raise BucketAlreadyOwnedByYou(f"the bucket {name!r} exists already", BucketName=name)
            batch.tx.run("bucket_insert", name=name, created_at=batch.now)
            return Bucket(name=name, created_at=batch.now)

        return await self._committer.change(change)

    def get(self, name: str) -> Bucket:
        """The bucket.

        Raises:
            NoSuchBucket: there is none.
        """
        return self._committer.read(lambda tx: bucket_of(need_bucket(tx, name)))

    def list_buckets(self, after: str, limit: int) -> Page[Bucket]:
        """Buckets behind a name, in order of name; the page's token is the last name."""
        rows = self._committer.read(lambda tx: tx.all("buckets_page", after=after, limit=limit + 1))
        buckets = [bucket_of(row) for row in rows[:limit]]
        return Page(buckets, buckets[-1].name if len(rows) > limit else None)

    async def delete(self, name: str) -> None:
        """Remove an empty bucket with its policy and rules.

        Raises:
            NoSuchBucket: there is none.
            BucketNotEmpty: it holds objects or uploads under way.
        """

        def change(batch: Batch) -> None:
            need_bucket(batch.tx, name)
            if batch.tx.one("bucket_holds_object", bucket=name) is not None:
                raise BucketNotEmpty(
                    f"the bucket {name!r} is not empty: delete its objects first", BucketName=name
                )
            if batch.tx.one("bucket_holds_upload", bucket=name) is not None:
                raise BucketNotEmpty(
                    f"the bucket {name!r} has multipart uploads: abort them first", BucketName=name
                )
            batch.tx.run("bucket_delete", name=name)

        await self._committer.change(change)

    async def put_policy(self, name: str, text: str) -> None:
        """Set the policy.

        Raises:
            MalformedBucketPolicy, NotSupported: as parse_bucket_policy.
            NoSuchBucket: there is none.
        """
        parse_bucket_policy(text, name)
        await self._set(name, "bucket_set_policy", policy=text)

    def policy(self, name: str) -> str:
        """The policy as it was put.

        Raises:
            NoSuchBucket, NoSuchBucketPolicy: there is none.
        """
        text: str | None = self._committer.read(lambda tx: need_bucket(tx, name))["policy"]
        if text is None:
            raise NoSuchBucketPolicy(f"the bucket {name!r} has no policy", BucketName=name)
        return text

    async def delete_policy(self, name: str) -> None:
        """Remove the policy, if there is one."""
        await self._set(name, "bucket_set_policy", policy=None)

    def decide(self, name: str, principals: Sequence[str], action: str, resource: str) -> Decision:
        """What the bucket's policy says about a request; SILENT when there is no policy or no bucket."""
        row = self._committer.read(lambda tx: tx.one("bucket_by_name", name=name))
        if row is None or row["policy"] is None:
            return Decision.SILENT
        return decide(parse_bucket_policy(row["policy"], name), principals, action, resource)

    async def put_cors(self, name: str, rules: Sequence[CorsRule]) -> None:
        """Set the CORS rules.

        Raises:
            MalformedXml, ObjectRefusal: as check_rules.
            NoSuchBucket: there is none.
        """
        checked = check_rules(rules)
        await self._set(name, "bucket_set_cors", cors=msgspec.json.encode(checked).decode())

    def cors(self, name: str) -> tuple[CorsRule, ...]:
        """The CORS rules.

        Raises:
            NoSuchBucket, NoSuchCorsConfiguration: there is none.
        """
        rules = _rules(self._committer.read(lambda tx: need_bucket(tx, name))["cors"])
        if not rules:
            raise NoSuchCorsConfiguration(f"the bucket {name!r} has no CORS configuration", BucketName=name)
        return rules

    def cors_or_none(self, name: str) -> tuple[CorsRule, ...]:
        """The CORS rules, none when there is no bucket or no configuration."""
        row = self._committer.read(lambda tx: tx.one("bucket_by_name", name=name))
        return () if row is None else _rules(row["cors"])

    async def delete_cors(self, name: str) -> None:
        """Remove the CORS rules, if there are any."""
        await self._set(name, "bucket_set_cors", cors=None)

    async def _set(self, name: str, statement: str, **values: str | None) -> None:
        def change(batch: Batch) -> None:
            need_bucket(batch.tx, name)
            batch.tx.run(statement, name=name, **values)

        await self._committer.change(change)


def _rules(text: str | None) -> tuple[CorsRule, ...]:
    return () if text is None else msgspec.json.decode(text, type=tuple[CorsRule, ...])
