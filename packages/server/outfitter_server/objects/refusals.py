"""S3's own error names, on the one tree of ``base.refusals``.

    NotFound          NoSuchBucket · NoSuchKey · NoSuchUpload · NoSuchVersion · NoSuchBucketPolicy · NoSuchCorsConfiguration
    Forbidden         AccessDenied
    Unavailable       ServiceUnavailable
    ObjectRefusal     everything else that only S3 says

Codes and statuses are those of "Error responses" in the S3 API reference.
"""

from outfitter_server.base.refusals import Conflict, Forbidden, MalformedPolicy, NotFound, Refusal


class ObjectRefusal(Refusal):
    """A request that breaks a rule of the file store."""

    code = "InvalidRequest"


class NoSuchBucket(NotFound):
    """The bucket does not exist."""

    code = "NoSuchBucket"


class NoSuchKey(NotFound):
    """The bucket has no object of this key."""

    code = "NoSuchKey"


class NoSuchUpload(NotFound):
    """The multipart upload was completed, aborted, or never was."""

    code = "NoSuchUpload"


class NoSuchVersion(NotFound):
    """Buckets here keep one version of an object, called ``null``."""

    code = "NoSuchVersion"


class NoSuchBucketPolicy(NotFound):
    """The bucket has no policy."""

    code = "NoSuchBucketPolicy"


class NoSuchCorsConfiguration(NotFound):
    """The bucket has no CORS configuration."""

    code = "NoSuchCORSConfiguration"


class AccessDenied(Forbidden):
    """The caller is unknown and no policy lets everybody in, or a policy denies it."""

    code = "AccessDenied"


class BucketAlreadyOwnedByYou(Conflict):
    """The bucket is there already."""

    code = "BucketAlreadyOwnedByYou"


class BucketNotEmpty(Conflict):
    """Only an empty bucket can be deleted."""

    code = "BucketNotEmpty"


class MalformedBucketPolicy(MalformedPolicy):
    """The text is not a bucket policy."""

    code = "MalformedPolicy"


class InvalidBucketName(ObjectRefusal):
    """The name breaks S3's rules for general purpose buckets."""

    code = "InvalidBucketName"


class KeyTooLong(ObjectRefusal):
    """A key has at most 1,024 bytes of UTF-8."""

    code = "KeyTooLongError"


class InvalidArgument(ObjectRefusal):
    """A parameter or header has a value that S3 does not take."""

    code = "InvalidArgument"


class InvalidUri(ObjectRefusal):
    """The path cannot be decoded."""

    code = "InvalidURI"


class InvalidRange(ObjectRefusal):
    """The range lies outside the object."""

    code = "InvalidRange"
    status = 416


class PreconditionFailed(ObjectRefusal):
    """A condition of the request does not hold."""

    code = "PreconditionFailed"
    status = 412


class InvalidDigest(ObjectRefusal):
    """Content-MD5 or a checksum is not the base64 of a digest of that length."""

    code = "InvalidDigest"


class BadDigest(ObjectRefusal):
    """The bytes that arrived do not have the digest that was promised; nothing was stored."""

    code = "BadDigest"


class ContentSha256Mismatch(ObjectRefusal):
    """The bytes that arrived do not have the SHA-256 that was signed; nothing was stored."""

    code = "XAmzContentSHA256Mismatch"


class ChunkSignatureMismatch(ObjectRefusal):
    """A chunk or the trailer of an aws-chunked body is not signed by the caller's key."""

    code = "SignatureDoesNotMatch"
    status = 403


class IncompleteBody(ObjectRefusal):
    """Fewer or more bytes arrived than were declared."""

    code = "IncompleteBody"


class MissingContentLength(ObjectRefusal):
    """An upload must say its length."""

    code = "MissingContentLength"
    status = 411


class EntityTooLarge(ObjectRefusal):
    """The object would be larger than one upload may be."""

    code = "EntityTooLarge"


class EntityTooSmall(ObjectRefusal):
    """Every part but the last has at least 5 MiB."""

    code = "EntityTooSmall"


class InvalidPart(ObjectRefusal):
    """A part that the completion names was not uploaded, or has another ETag."""

    code = "InvalidPart"


class InvalidPartOrder(ObjectRefusal):
    """Parts are named in ascending order of number."""

    code = "InvalidPartOrder"


class MalformedXml(ObjectRefusal):
    """The document is not the XML that the operation takes."""

    code = "MalformedXML"


class MaxMessageLengthExceeded(ObjectRefusal):
    """The document of the request is too long."""

    code = "MaxMessageLengthExceeded"


class MethodNotAllowed(ObjectRefusal):
    """The resource does not take this method."""

    code = "MethodNotAllowed"
    status = 405


class NotSupported(ObjectRefusal):
    """S3 has it and this server does not."""

    code = "NotImplemented"
    status = 501


class AclNotSupported(ObjectRefusal):
    """Objects belong to the bucket's owner; a bucket policy opens them to others."""

    code = "AccessControlListNotSupported"


class InvalidStorageClass(ObjectRefusal):
    """The only storage class is STANDARD."""

    code = "InvalidStorageClass"


class RequestTimeout(ObjectRefusal):
    """The sender of a body fell silent."""

    code = "RequestTimeout"


class CorsForbidden(ObjectRefusal):
    """No CORS rule of the bucket allows the preflight's request."""

    code = "AccessForbidden"
    status = 403
