"""Who may do what: the owner's key all that no bucket policy denies, everybody what one allows."""

from outfitter_server.objects.bucket_policy import Decision
from outfitter_server.objects.refusals import AccessDenied, NoSuchKey
from outfitter_server.s3.exchange import Exchange
from outfitter_server.s3.routing import ANONYMOUS, POLICY_KEEPERS, Operation, Target
from outfitter_server.services.buckets import Buckets
from outfitter_server.services.objects import Objects


class Admission:
    """Asks the policies of buckets."""

    def __init__(self, buckets: Buckets, objects: Objects) -> None:
        self._buckets = buckets
        self._objects = objects

    def admit(self, exchange: Exchange, operation: Operation) -> None:
        """Refuse a request whose caller may not do this to its target.

        Raises:
            AccessDenied: it is denied, or not signed and not open to everybody.
            NoSuchBucket, NoSuchKey: there is none, and the caller may know it.
        """
        target = exchange.target
        if exchange.caller is not None:
            # The owner can always mend the policy that locks it out.
            if target.bucket and operation not in POLICY_KEEPERS:
                self.demand(exchange, operation.action, target)
            return
        if not target.bucket:
            raise AccessDenied("Access Denied: sign the request with an access key of this installation")
        decision = self._buckets.decide(target.bucket, [], operation.action, target.arn)
        if operation not in ANONYMOUS or decision is not Decision.ALLOW:
            raise AccessDenied(
                f"Access Denied: no policy lets everybody do {operation.action} on {target.arn}"
            )
        if operation.action == Operation.GetObject.action:
            self._hide_missing(target)

    def demand(self, exchange: Exchange, action: str, target: Target) -> None:
        """Refuse what a policy denies the signer; also for what a request reaches besides its target.

        Raises:
            AccessDenied: it is denied, or the request is not signed.
            NoSuchBucket: there is none.
        """
        caller = exchange.caller
        principals = [] if caller is None else [caller.arn, caller.account]
        decision = self._buckets.decide(target.bucket, principals, action, target.arn)
        if caller is None or decision is Decision.DENY:
            raise AccessDenied(f"Access Denied: the bucket's policy denies {action} on {target.arn}")

    def _hide_missing(self, target: Target) -> None:
        """Who may not list a bucket does not learn which keys it lacks."""
        if self._objects.exists(target.bucket, target.key):
            return
        arn = f"arn:aws:s3:::{target.bucket}"
        if self._buckets.decide(target.bucket, [], Operation.ListObjects.action, arn) is Decision.ALLOW:
            raise NoSuchKey("The specified key does not exist.", Key=target.key)
        raise AccessDenied("Access Denied: the object does not exist, or is not open to everybody")
