"""Downloads with libcurl: to a file, resumed, checked while they stream, in bounded memory.

A resumed request carries ``Range`` and ``If-Range`` with the store's validator (a strong ETag, else Last-Modified); an
answer that does not continue exactly where the file ends starts the file anew. An URL that the store refuses is handed
back to the caller, who asks for another; the partial file serves that one, too.
"""

import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pycurl

from outfitter_agent.hands.partial import Partial
from outfitter_agent.hands.spending import Spending
from outfitter_agent.plans.effects import Downloaded, UrlExpired
from outfitter_agent.plans.troubles import Abandoned, Trouble

REDIRECTS_MAX: Final = 5
START_OVERS_MAX: Final = 5
REFUSAL_BYTES_MAX: Final = 64 * 1024
"""Of what a store says with a refusal; nobody reads it."""
EXPIRED: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
"""What stores answer to a pre-signed URL, or its token, that is past its time."""
PASSING: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})")
HOPELESS: Final = frozenset(
    {pycurl.E_UNSUPPORTED_PROTOCOL, pycurl.E_URL_MALFORMAT, pycurl.E_SSL_CACERT_BADFILE}
)

Progress = Callable[[int, int | None], None]
"""Called with bytes received and bytes in all, at least once a second; what it raises ends the download."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchLimits:
    """Bounds of a download."""

    attempts_max: int
    """Attempts without progress before it fails."""
    backoff_max_seconds: float
    connect_timeout_seconds: int
    stall_seconds: int
    stall_bytes: int
    """Fewer bytes a second than this, for ``stall_seconds``, break an attempt off."""
    bytes_max: int
    seconds_max: float = 86_400
    """All attempts together, with URLs that expire in between: who sends a byte now and then does not send for ever."""
    bytes_per_second_max: int = 0
    """0: as fast as it goes."""
    job_bytes_max: int = 0
    """All attempts of one job together, over restarts too; 0: no bound."""


class _Passing(Exception):  # noqa: N818 - not an error yet
    """This attempt failed; another one may not."""


class _StartOver(_Passing):
    """What is there of the file cannot be continued."""


class Fetcher:
    """Downloads one file at a time into its folder."""

    def __init__(
        self,
        folder: Path,
        *,
        ca_file: Path | None,
        limits: FetchLimits,
        wait: Callable[[float], bool],
        what: str = "image",
        also_needs: Callable[[int], int] = lambda _total: 0,
    ) -> None:
        """``wait(seconds)`` sleeps; True when the agent is to stop or the job has ended elsewhere.

        ``what`` is the word for the file in reasons; ``also_needs`` tells what else a file of so many bytes will need of
        the same disk.
        """
        self._partial = Partial(folder, what=what, also_needs=also_needs)
        self._spending = Spending(folder, bytes_max=limits.job_bytes_max, what=what)
        self._what = what
        self._ca_file = ca_file
        self._limits = limits
        self._wait = wait
        self._began: tuple[str, float] | None = None

    @property
    def path(self) -> Path:
        """Where the image is once ``fetch`` has returned Downloaded."""
        return self._partial.path

    def discard(self) -> None:
        """Remove the image, whole or partial."""
        self._began = None
        self._partial.discard()
        self._spending.forget()

    def fetch(
        self, url: str, *, sha256: str | None, size: int | None, progress: Progress, job: str = ""
    ) -> Downloaded | UrlExpired:
        """The image at the URL, complete and checked. Raises Trouble, Abandoned and what ``progress`` raises.

        What it costs is counted as ``job``'s.
        """
        if size is not None and size > self._limits.bytes_max:
            raise Trouble(
                f"the {self._what} of {size} bytes is larger than this device takes ({self._limits.bytes_max})"
            )
        partial = self._partial
        known_as = object_key(url, sha256)
        if self._began is None or self._began[0] != known_as:
            self._began = known_as, time.monotonic()

        def in_time(received: int, total: int | None) -> None:
            self._check_time()
            progress(received, total)

        partial.open(known_as)
        self._spending.begin(job)
        began = partial.length
        try:
            whole = sha256 is not None and partial.digest == sha256
            status = HTTPStatus.OK if whole else self._transfer(url, known_as, sha256, size, in_time)
        finally:
            try:
                self._spending.settle()
            finally:
                partial.close()
        if status in EXPIRED:
            return UrlExpired(
                reason=f"HTTP {status} from the store", bytes_gained=max(0, partial.length - began)
            )
        return Downloaded(sha256=partial.digest, size=partial.length)

    def _transfer(
        self, url: str, known_as: str, sha256: str | None, size: int | None, progress: Progress
    ) -> int:
        """Attempt after attempt until the image is whole or its URL refused; the last HTTP status."""
        failures = start_overs = 0
        while True:
            before = self._partial.length
            try:
                transfer = _Transfer(
                    self._partial, self._spending, known_as, size, self._limits, progress, self._what
                )
                status = transfer.run(url, self._ca_file)
                if status not in EXPIRED:
                    self._check(sha256, size, resumed=before > 0)
            except _Passing as passing:
                if isinstance(passing, _StartOver):
                    start_overs += 1
                    self._partial.begin(known_as, None)
                if start_overs > START_OVERS_MAX:
                    raise Trouble(
                        f"the {self._what} is not accessible: {passing}, {start_overs} times"
                    ) from None
                failures = 1 if self._partial.length > before else failures + 1
                self._pause(failures, str(passing))
            else:
                return status

    @property
    def seconds_left(self) -> float:
        """How long the download under way may still take; all of it when there is none."""
        spent = 0.0 if self._began is None else time.monotonic() - self._began[1]
        return self._limits.seconds_max - spent

    def _check_time(self) -> None:
        if self.seconds_left < 0:
            raise Trouble(
                f"the {self._what} was not complete after {self._limits.seconds_max:g} seconds:"
                f" {self._partial.length} bytes have arrived"
            )

    def _pause(self, failures: int, reason: str) -> None:
        self._check_time()
        if failures >= self._limits.attempts_max:
            raise Trouble(
                f"the {self._what} is not accessible: {reason}; gave up after {failures} attempts in a row"
            )
        bound = min(self._limits.backoff_max_seconds, 2.0 ** (failures - 1))
        if self._wait(random.uniform(0, bound)):  # noqa: S311 - spreads load, keeps no secret
            raise Abandoned

    def _check(self, sha256: str | None, size: int | None, *, resumed: bool) -> None:
        """Compare with what was promised; one that was pieced together is worth a whole download."""
        partial = self._partial
        if size is not None and partial.length != size:
            reason = f"it has {partial.length} bytes instead of {size}"
        elif sha256 is not None and partial.digest != sha256:
            reason = f"its SHA-256 is {partial.digest} instead of {sha256}"
        else:
            return
        if resumed:
            raise _StartOver(f"resumed, the {self._what} is corrupt: {reason}")
        raise Trouble(f"the {self._what} is corrupt: {reason}")


class _Transfer:
    """One request; collects what its callbacks meet, because libcurl cannot carry exceptions."""

    def __init__(
        self,
        partial: Partial,
        spending: Spending,
        known_as: str,
        size: int | None,
        limits: FetchLimits,
        progress: Progress,
        what: str,
    ) -> None:
        self._partial = partial
        self._spending = spending
        self._refusal_bytes = 0
        self._what = what
        self._known_as = known_as
        self._size = size
        self._limits = limits
        self._progress = progress
        self._offset = partial.length
        self._status = 0
        self._headers: dict[str, str] = {}
        self._total: int | None = size
        self._opened = False
        self._raised: BaseException | None = None

    def run(self, url: str, ca_file: Path | None) -> int:
        """Do it; the HTTP status, 200 or 206 when the file is complete. Raises _Passing, Trouble."""
        curl = self._prepared(url, ca_file)
        try:
            curl.perform()
            if self._succeeded() and not self._opened:
                self._open(0)  # an empty body calls nothing
        except pycurl.error as error:
            if self._raised is not None:
                raise self._raised from None
            code, message = error.args
            if code in HOPELESS:
                raise Trouble(f"the {self._what} is not accessible: {message}") from None
            if self._refusal_bytes > REFUSAL_BYTES_MAX:
                return self._judge_status()
            raise _Passing(message or f"libcurl error {code}") from None
        finally:
            curl.close()
        return self._judge_status()

    def _prepared(self, url: str, ca_file: Path | None) -> pycurl.Curl:
        curl = prepared(url, self._limits, ca_file, self._on_tick)
        curl.setopt(pycurl.HEADERFUNCTION, self._on_header)
        curl.setopt(pycurl.WRITEFUNCTION, self._on_body)
        if self._offset and self._partial.validator:
            curl.setopt(pycurl.RANGE, f"{self._offset}-")
            curl.setopt(pycurl.HTTPHEADER, [f"If-Range: {self._partial.validator}"])
        return curl

    def _on_tick(self, *_: int) -> int:
        try:
            self._progress(self._partial.length, self._total)
        except BaseException as raised:  # noqa: BLE001 - raised again when libcurl has returned
            self._raised = raised
            return 1
        return 0

    def _on_header(self, line: bytes) -> None:
        text = line.decode("latin-1").strip()
        if text.startswith("HTTP/"):
            parts = text.split(None, 2)
            self._status = int(parts[1]) if len(parts) > 1 and parts[1].isdecimal() else 0
            self._headers = {}
        elif ":" in text:
            name, value = text.split(":", 1)
            self._headers[name.lower()] = value.strip()

    def _on_body(self, block: bytes) -> int:
        try:
            self._spending.spend(len(block))
            if not self._succeeded():
                self._refusal_bytes += len(block)
                return len(block) if self._refusal_bytes <= REFUSAL_BYTES_MAX else -1
            if not self._opened:
                self._open(len(block))
            self._check_length(self._partial.length + len(block))
            self._partial.append(block)
        except BaseException as raised:  # noqa: BLE001 - raised again when libcurl has returned
            self._raised = raised
            return -1
        return len(block)

    def _open(self, first_bytes: int) -> None:
        """Look at the headers before the first byte is kept; so many have come, and are counted, by now."""
        self._opened = True
        length = self._headers.get("content-length", "")
        if self._status == HTTPStatus.PARTIAL_CONTENT:
            match = _CONTENT_RANGE.fullmatch(self._headers.get("content-range", ""))
            if not self._offset or match is None or int(match[1]) != self._offset:
                raise _StartOver("the store answered with another range than it was asked for")
            if self._validator() not in (self._partial.validator, None):
                raise _StartOver(f"the {self._what} in the store has changed")
            self._total = int(match[2])
        else:
            self._partial.begin(self._known_as, self._validator())
            self._total = int(length) if length.isdecimal() else self._size
        if self._total is not None:
            self._check_length(self._total)
            self._spending.foresee(self._total - self._partial.length - first_bytes)
            self._partial.make_room(self._total)

    def _check_length(self, length: int) -> None:
        if length > self._limits.bytes_max:
            raise Trouble(
                f"the {self._what} is larger than this device takes ({self._limits.bytes_max} bytes)"
            )
        if self._size is not None and length > self._size:
            reason = f"it has {length} bytes or more instead of {self._size}"
            if self._offset and self._status == HTTPStatus.PARTIAL_CONTENT:
                raise _StartOver(f"resumed, the {self._what} is corrupt: {reason}")
            raise Trouble(f"the {self._what} is corrupt: {reason}")

    def _validator(self) -> str | None:
        etag = self._headers.get("etag")
        if etag is not None and not etag.startswith("W/"):
            return etag
        return self._headers.get("last-modified")

    def _succeeded(self) -> bool:
        return self._status in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT)

    def _judge_status(self) -> int:
        status = self._status
        if self._succeeded() or status in EXPIRED:
            return status
        if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and self._offset:
            raise _StartOver("the store has no bytes beyond those fetched")
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in PASSING:
            raise _Passing(f"HTTP {status} from the store")
        raise Trouble(f"the {self._what} is not accessible: HTTP {status} from the store")


def prepared(url: str, limits: FetchLimits, ca_file: Path | None, tick: Callable[..., int]) -> pycurl.Curl:
    """A handle with what every transfer of the agent keeps to: protocols, redirects, patience, trust, ``tick`` as it goes."""
    curl = pycurl.Curl()
    curl.setopt(pycurl.URL, url)
    web = pycurl.PROTO_HTTPS | pycurl.PROTO_HTTP
    curl.setopt(pycurl.PROTOCOLS, web)
    curl.setopt(pycurl.REDIR_PROTOCOLS, web if url.startswith("http://") else pycurl.PROTO_HTTPS)
    curl.setopt(pycurl.FOLLOWLOCATION, 1)
    curl.setopt(pycurl.MAXREDIRS, REDIRECTS_MAX)
    curl.setopt(pycurl.NOSIGNAL, 1)
    curl.setopt(pycurl.USERAGENT, "outfitter-agent")
    curl.setopt(pycurl.CONNECTTIMEOUT, limits.connect_timeout_seconds)
    curl.setopt(pycurl.LOW_SPEED_LIMIT, limits.stall_bytes)
    curl.setopt(pycurl.LOW_SPEED_TIME, limits.stall_seconds)
    curl.setopt(pycurl.MAX_RECV_SPEED_LARGE, limits.bytes_per_second_max)
    curl.setopt(pycurl.NOPROGRESS, 0)
    curl.setopt(pycurl.XFERINFOFUNCTION, tick)
    if ca_file is not None:
        curl.setopt(pycurl.CAINFO, str(ca_file))
    return curl


def object_key(url: str, sha256: str | None) -> str:
    """What tells one image from another across URLs that differ in their signature only."""
    parts = urlsplit(url)
    return f"{parts.netloc}{parts.path} {sha256 or ''}"
