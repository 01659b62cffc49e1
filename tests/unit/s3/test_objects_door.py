"""Objects through boto3, over http and https: the SDK itself chooses signed bodies or trailing checksums."""

import hashlib

import pytest
from botocore.exceptions import ClientError

OTHER_ETAG = '"00000000000000000000000000000000"'


def refusal(call, **parameters):
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response
    return error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]


def test_what_is_put_comes_back(s3, bucket):
    put = s3.put_object(
        Bucket=bucket,
        Key="a/b c+ü%.txt",
        Body=b"hello world",
        ContentType="text/plain",
        CacheControl="max-age=5",
        Metadata={"colour": "green"},
    )
    assert put["ETag"] == f'"{hashlib.md5(b"hello world").hexdigest()}"'
    got = s3.get_object(Bucket=bucket, Key="a/b c+ü%.txt")
    assert got["Body"].read() == b"hello world"
    assert got["ContentType"] == "text/plain"
    assert got["CacheControl"] == "max-age=5"
    assert got["Metadata"] == {"colour": "green"}
    assert got["ETag"] == put["ETag"]
    assert got["AcceptRanges"] == "bytes"
    assert got["ChecksumCRC32"] == put["ChecksumCRC32"]
    assert got["ResponseMetadata"]["HTTPHeaders"]["content-security-policy"] == "sandbox"
    head = s3.head_object(Bucket=bucket, Key="a/b c+ü%.txt", ChecksumMode="ENABLED")
    assert head["ContentLength"] == 11
    assert head["ChecksumCRC32"] == put["ChecksumCRC32"]


def test_ranges_and_conditions(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")["ETag"]
    for asked, expected in {
        "bytes=2-4": b"234",
        "bytes=7-": b"789",
        "bytes=-3": b"789",
        "bytes=8-99": b"89",
    }.items():
        got = s3.get_object(Bucket=bucket, Key="k", Range=asked)
        assert got["Body"].read() == expected
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert got["ContentRange"] == "bytes 8-9/10"
    assert refusal(s3.get_object, Bucket=bucket, Key="k", Range="bytes=10-") == ("InvalidRange", 416)
    assert refusal(s3.get_object, Bucket=bucket, Key="k", IfMatch='"x"') == ("PreconditionFailed", 412)
    assert refusal(s3.get_object, Bucket=bucket, Key="k", IfNoneMatch=etag) == ("304", 304)
    assert refusal(s3.put_object, Bucket=bucket, Key="k", Body=b"", IfNoneMatch="*") == (
        "PreconditionFailed",
        412,
    )
    s3.put_object(Bucket=bucket, Key="k", Body=b"", IfMatch=etag)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b""


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_checksums_are_kept_and_given_back(s3, bucket, algorithm):
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"x" * 100_000, ChecksumAlgorithm=algorithm)
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["Body"].read() == b"x" * 100_000
    assert got[f"Checksum{algorithm}"] == put[f"Checksum{algorithm}"]


@pytest.mark.parametrize(
    ("promised", "code"),
    [
        ({"ContentMD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}, "BadDigest"),
        ({"ChecksumCRC32": "AAAAAA=="}, "BadDigest"),
        ({"ChecksumSHA256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}, "BadDigest"),
        ({"ChecksumCRC32": "AAAA"}, "InvalidDigest"),
        ({"ContentMD5": "short"}, "InvalidDigest"),
    ],
)
def test_wrong_digests_store_nothing(s3, server, bucket, promised, code):
    before = server.files()
    assert refusal(s3.put_object, Bucket=bucket, Key="k", Body=b"body", **promised) == (code, 400)
    assert refusal(s3.head_object, Bucket=bucket, Key="k") == ("404", 404)
    assert server.files() == before


def test_a_replaced_or_deleted_object_leaves_no_file(s3, server, bucket):
    before = server.files()
    s3.put_object(Bucket=bucket, Key="k", Body=b"one")
    s3.put_object(Bucket=bucket, Key="k", Body=b"two")
    assert len(server.files() - before) == 1
    s3.delete_object(Bucket=bucket, Key="k")
    s3.delete_object(Bucket=bucket, Key="k")
    assert server.files() == before


def test_a_deletion_keeps_what_its_condition_does_not_name(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"one")["ETag"]
    asked = {"Bucket": bucket, "Key": "k"}
    assert refusal(s3.delete_object, **asked, IfMatch=OTHER_ETAG) == ("PreconditionFailed", 412)
    assert refusal(s3.delete_object, **asked, IfMatchSize=3) == ("NotImplemented", 501)
    assert s3.get_object(**asked)["Body"].read() == b"one"
    s3.delete_object(**asked, IfMatch=etag)
    assert refusal(s3.delete_object, **asked, IfMatch="*") == ("NoSuchKey", 404)


def test_each_entry_of_a_deletion_of_many_has_its_own_condition(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="kept", Body=b"one")["ETag"]
    for key in ("named", "unconditional"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"one")
    entries = [
        {"Key": "kept", "ETag": OTHER_ETAG},
        {"Key": "missing", "ETag": etag},
        {"Key": "kept", "Size": 3},
        {"Key": "named", "ETag": etag},
        {"Key": "unconditional"},
    ]
    done = s3.delete_objects(Bucket=bucket, Delete={"Objects": entries})
    assert [row["Key"] for row in done["Deleted"]] == ["named", "unconditional"]
    assert sorted((row["Key"], row["Code"]) for row in done["Errors"]) == [
        ("kept", "NotImplemented"),
        ("kept", "PreconditionFailed"),
        ("missing", "NoSuchKey"),
    ]
    assert [row["Key"] for row in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["kept"]


def test_a_copy_replaces_only_what_its_condition_names(s3, bucket):
    s3.put_object(Bucket=bucket, Key="from", Body=b"new")
    etag = s3.put_object(Bucket=bucket, Key="to", Body=b"old")["ETag"]
    asked = {"Bucket": bucket, "Key": "to", "CopySource": f"{bucket}/from"}
    assert refusal(s3.copy_object, **asked, IfNoneMatch="*") == ("PreconditionFailed", 412)
    assert refusal(s3.copy_object, **asked, IfMatch=OTHER_ETAG) == ("PreconditionFailed", 412)
    assert s3.get_object(Bucket=bucket, Key="to")["Body"].read() == b"old"
    s3.copy_object(**asked, IfMatch=etag)
    assert s3.get_object(Bucket=bucket, Key="to")["Body"].read() == b"new"
    s3.copy_object(**{**asked, "Key": "third"}, IfNoneMatch="*")


def test_a_copy_shares_bytes_and_outlives_its_source(s3, server, bucket):
    before = server.files()
    s3.put_object(Bucket=bucket, Key="from ü", Body=b"bytes", Metadata={"a": "1"})
    s3.copy_object(Bucket=bucket, Key="to", CopySource={"Bucket": bucket, "Key": "from ü"})
    assert len(server.files() - before) == 1
    s3.delete_object(Bucket=bucket, Key="from ü")
    got = s3.get_object(Bucket=bucket, Key="to")
    assert (got["Body"].read(), got["Metadata"]) == (b"bytes", {"a": "1"})
    own = {"Bucket": bucket, "Key": "to", "CopySource": f"{bucket}/to"}
    assert refusal(s3.copy_object, **own) == ("InvalidRequest", 400)
    s3.copy_object(**own, MetadataDirective="REPLACE", Metadata={"b": "2"}, ContentType="text/x")
    head = s3.head_object(Bucket=bucket, Key="to")
    assert (head["Metadata"], head["ContentType"]) == ({"b": "2"}, "text/x")
    s3.delete_object(Bucket=bucket, Key="to")
    assert server.files() == before


def test_listings(s3, bucket):
    keys = ["a", "b/1", "b/2", "b/c/3", "d", "e&<>", "é", "\u4e2d/x", "z z"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 2})
    assert [row["Key"] for page in pages for row in page.get("Contents", [])] == sorted(keys)
    seen = []
    for page in s3.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": 1}
    ):
        seen += [row["Key"] for row in page.get("Contents", [])]
        seen += [row["Prefix"] for row in page.get("CommonPrefixes", [])]
    assert seen == ["a", "b/", "d", "e&<>", "z z", "é", "\u4e2d/"]
    seen = []
    for page in s3.get_paginator("list_objects").paginate(
        Bucket=bucket, Prefix="b/", Delimiter="/", PaginationConfig={"PageSize": 1}
    ):
        seen += [row["Key"] for row in page.get("Contents", [])]
        seen += [row["Prefix"] for row in page.get("CommonPrefixes", [])]
    assert seen == ["b/1", "b/2", "b/c/"]
    after = s3.list_objects_v2(Bucket=bucket, StartAfter="b/2", Prefix="b/", FetchOwner=True)
    assert [row["Key"] for row in after["Contents"]] == ["b/c/3"]
    assert s3.list_objects_v2(Bucket=bucket, MaxKeys=0)["KeyCount"] == 0
    assert refusal(s3.list_objects_v2, Bucket=bucket, ContinuationToken="%%") == ("InvalidArgument", 400)


def test_delete_many(s3, bucket):
    for key in ("a", "b&c", "d"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    named = [{"Key": "a"}, {"Key": "b&c"}, {"Key": "not there"}, {"Key": "d", "VersionId": "7"}]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": named})
    assert [row["Key"] for row in answer["Deleted"]] == ["a", "b&c", "not there"]
    assert [(row["Key"], row["Code"]) for row in answer["Errors"]] == [("d", "NoSuchVersion")]
    assert [row["Key"] for row in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["d"]


def test_buckets(s3, server):
    name = f"bucket-{s3.meta.endpoint_url.rpartition(':')[2]}"
    assert refusal(s3.head_bucket, Bucket=name) == ("404", 404)
    assert refusal(s3.put_object, Bucket=name, Key="k", Body=b"x" * 100) == ("NoSuchBucket", 404)
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-north-1"})
    s3.create_bucket(Bucket=name)
    assert name in [row["Name"] for row in s3.list_buckets()["Buckets"]]
    assert s3.get_bucket_location(Bucket=name)["LocationConstraint"] is None
    assert s3.head_bucket(Bucket=name)["BucketRegion"] == "us-east-1"
    assert "Status" not in s3.get_bucket_versioning(Bucket=name)
    s3.put_object(Bucket=name, Key="k", Body=b"")
    assert refusal(s3.delete_bucket, Bucket=name) == ("BucketNotEmpty", 409)
    s3.delete_object(Bucket=name, Key="k")
    s3.delete_bucket(Bucket=name)
    assert refusal(s3.delete_bucket, Bucket=name) == ("NoSuchBucket", 404)
    assert refusal(s3.create_bucket, Bucket="192.168.5.4") == ("InvalidBucketName", 400)


def test_what_is_not_supported_says_so(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    assert refusal(s3.get_object_tagging, Bucket=bucket, Key="k") == ("NotImplemented", 501)
    assert refusal(s3.get_bucket_acl, Bucket=bucket) == ("NotImplemented", 501)
    enabled = {"Status": "Enabled"}
    assert refusal(s3.put_bucket_versioning, Bucket=bucket, VersioningConfiguration=enabled) == (
        "NotImplemented",
        501,
    )
    assert refusal(s3.put_object, Bucket=bucket, Key="e", ServerSideEncryption="AES256") == (
        "NotImplemented",
        501,
    )
    assert refusal(s3.put_object, Bucket=bucket, Key="e", Tagging="a=b") == ("NotImplemented", 501)
    assert refusal(s3.put_object, Bucket=bucket, Key="e", ACL="public-read") == (
        "AccessControlListNotSupported",
        400,
    )
    assert refusal(s3.put_object, Bucket=bucket, Key="e", StorageClass="GLACIER") == (
        "InvalidStorageClass",
        400,
    )
    assert refusal(s3.get_object, Bucket=bucket, Key="k", VersionId="3") == ("NoSuchVersion", 404)
    assert refusal(s3.put_object, Bucket=bucket, Key="x" * 1025) == ("KeyTooLongError", 400)
