"""Uploads with libcurl: one PUT to a pre-signed URL, repeated while it may help, done only when the store says 200."""

import hashlib
import io
import random
from base64 import b64encode
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import pycurl

from outfitter_agent.hands.fetch import EXPIRED, HOPELESS, PASSING, FetchLimits, prepared
from outfitter_agent.plans.effects import Uploaded, UrlExpired
from outfitter_agent.plans.troubles import Abandoned, Trouble


class Uploader:
    """Sends small files to the store."""

    def __init__(
        self,
        *,
        ca_file: Path | None,
        limits: FetchLimits,
        wait: Callable[[float], bool],
        check: Callable[[], None],
    ) -> None:
        """``wait(seconds)`` sleeps, True: stop; ``check`` is called while bytes move, what it raises ends the upload."""
        self._ca_file = ca_file
        self._limits = limits
        self._wait = wait
        self._check = check

    def put(self, url: str, content: bytes) -> Uploaded | UrlExpired:
        """Store the bytes; raises Trouble, Abandoned and what ``check`` raises."""
        failures = 0
        while True:
            status, fault = self._send(url, content)
            if status == HTTPStatus.OK:
                return Uploaded()
            if status in EXPIRED:
                return UrlExpired(reason=f"HTTP {status} from the store", bytes_gained=0)
            reason = fault or f"HTTP {status} from the store"
            if not fault and status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in PASSING:
                raise Trouble(f"the configuration could not be uploaded: {reason}")
            failures += 1
            if failures >= self._limits.attempts_max:
                raise Trouble(
                    f"the configuration could not be uploaded: {reason}; gave up after {failures} attempts"
                )
            bound = min(self._limits.backoff_max_seconds, 2.0 ** (failures - 1))
            if self._wait(random.uniform(0, bound)):  # noqa: S311 - spreads load, keeps no secret
                raise Abandoned

    def _send(self, url: str, content: bytes) -> tuple[int, str]:
        """One request: the status, and what libcurl met instead of one."""
        raised: list[BaseException] = []

        def tick(*_: int) -> int:
            try:
                self._check()
            except BaseException as error:  # noqa: BLE001 - raised again when libcurl has returned
                raised.append(error)
                return 1
            return 0

        curl = self._prepared(url, content, tick)
        try:
            curl.perform()
            return curl.getinfo(pycurl.RESPONSE_CODE), ""
        except pycurl.error as error:
            if raised:
                raise raised[0] from None
            code, message = error.args
            if code in HOPELESS:
                raise Trouble(f"the configuration could not be uploaded: {message}") from None
            return 0, message or f"libcurl error {code}"
        finally:
            curl.close()

    def _prepared(self, url: str, content: bytes, tick: Callable[..., int]) -> pycurl.Curl:
        body = io.BytesIO(content)

        def rewind(offset: int, origin: int) -> int:
            body.seek(offset, origin)
            return int(pycurl.SEEKFUNC_OK)

        digest = b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
        curl = prepared(url, self._limits, self._ca_file, tick)
        curl.setopt(pycurl.UPLOAD, 1)
        curl.setopt(pycurl.INFILESIZE_LARGE, len(content))
        curl.setopt(pycurl.READFUNCTION, body.read)
        curl.setopt(pycurl.SEEKFUNCTION, rewind)
        curl.setopt(pycurl.WRITEFUNCTION, len)  # all of the answer is taken, nothing of it is needed
        curl.setopt(pycurl.HTTPHEADER, [f"Content-MD5: {digest}"])
        return curl
