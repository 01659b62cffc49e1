"""Buckets of the file store."""

from outfitter_updates.cloud.connection import Connection


def need_bucket(connection: Connection, name: str) -> str:
    """The bucket, made when it is missing; returns its name."""
    if connection.s3.find("head_bucket", Bucket=name) is None:
        elsewhere = connection.region != "us-east-1"
        where = {"LocationConstraint": connection.region} if elsewhere else None
        connection.s3.call("create_bucket", Bucket=name, CreateBucketConfiguration=where)
    return name
