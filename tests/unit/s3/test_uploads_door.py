"""Multipart uploads and large files through boto3's transfer manager."""

import os

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

MIB = 1024 * 1024


def refusal(call, **parameters):
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return caught.value.response["Error"]["Code"]


def test_files_travel_in_parts_both_ways(s3, server, bucket, tmp_path):
    before = server.files()
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(os.urandom(12 * MIB + 5))
    s3.upload_file(str(source), bucket, "big")
    s3.download_file(bucket, "big", str(back))
    assert back.read_bytes() == source.read_bytes()
    head = s3.head_object(Bucket=bucket, Key="big", ChecksumMode="ENABLED")
    assert head["ETag"].endswith('-2"')
    assert head["ChecksumCRC32"].endswith("-2")
    s3.copy(
        {"Bucket": bucket, "Key": "big"}, bucket, "copy", Config=TransferConfig(multipart_threshold=8 * MIB)
    )
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == source.read_bytes()
    assert len(server.files() - before) == 2


def test_a_full_object_checksum_is_that_of_the_whole(s3, bucket):
    body = os.urandom(5 * MIB) + b"tail"
    begun = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm="CRC64NVME")
    named = {"Bucket": bucket, "Key": "k", "UploadId": begun["UploadId"]}
    parts = []
    for number, piece in enumerate((body[: 5 * MIB], body[5 * MIB :]), start=1):
        part = s3.upload_part(**named, PartNumber=number, Body=piece, ChecksumAlgorithm="CRC64NVME")
        parts.append(
            {"PartNumber": number, "ETag": part["ETag"], "ChecksumCRC64NVME": part["ChecksumCRC64NVME"]}
        )
    assert [part["Size"] for part in s3.list_parts(**named)["Parts"]] == [5 * MIB, 4]
    assert [row["UploadId"] for row in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [
        begun["UploadId"]
    ]
    done = s3.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})
    single = s3.put_object(Bucket=bucket, Key="single", Body=body, ChecksumAlgorithm="CRC64NVME")
    assert done["ChecksumCRC64NVME"] == single["ChecksumCRC64NVME"]
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == body


def test_a_part_carries_the_checksum_that_its_upload_was_begun_with(s3, bucket):
    begun = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm="CRC64NVME")
    named = {"Bucket": bucket, "Key": "k", "UploadId": begun["UploadId"], "PartNumber": 1}
    assert refusal(s3.upload_part, **named, Body=b"part", ChecksumAlgorithm="CRC32") == "InvalidRequest"
    assert not s3.list_parts(Bucket=bucket, Key="k", UploadId=begun["UploadId"]).get("Parts")
    s3.upload_part(**named, Body=b"part", ChecksumAlgorithm="CRC64NVME")


def test_a_completion_keeps_to_the_size_that_it_promises(s3, bucket):
    begun = s3.create_multipart_upload(Bucket=bucket, Key="k")
    named = {"Bucket": bucket, "Key": "k", "UploadId": begun["UploadId"]}
    etag = s3.upload_part(**named, PartNumber=1, Body=b"part")["ETag"]
    whole = {**named, "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": etag}]}}
    assert refusal(s3.complete_multipart_upload, **whole, MpuObjectSize=5) == "InvalidRequest"
    s3.complete_multipart_upload(**whole, MpuObjectSize=4)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"part"


def test_bad_completions_change_nothing_and_an_abort_removes_all(s3, server, bucket):
    before = server.files()
    begun = s3.create_multipart_upload(Bucket=bucket, Key="k")
    named = {"Bucket": bucket, "Key": "k", "UploadId": begun["UploadId"]}
    etags = [s3.upload_part(**named, PartNumber=number, Body=b"small")["ETag"] for number in (1, 2)]
    both = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, start=1)]
    for parts, code in (
        (both, "EntityTooSmall"),
        (both[::-1], "InvalidPartOrder"),
        ([{"PartNumber": 3, "ETag": etags[0]}], "InvalidPart"),
        ([{"PartNumber": 1, "ETag": '"00"'}], "InvalidPart"),
    ):
        assert refusal(s3.complete_multipart_upload, **named, MultipartUpload={"Parts": parts}) == code
    assert refusal(s3.upload_part, **named, PartNumber=10_001, Body=b"") == "InvalidArgument"
    assert refusal(s3.delete_bucket, Bucket=bucket) == "BucketNotEmpty"
    s3.abort_multipart_upload(**named)
    assert refusal(s3.abort_multipart_upload, **named) == "NoSuchUpload"
    assert server.files() == before
