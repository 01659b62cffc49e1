"""What the console page does when a person presses a button: a signed call to the URL of the update function."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.httpsession import URLLib3Session

CALL_SECONDS_MAX: Final = 40


def post_signed(
    url: str, request: Mapping[str, Any], credentials: Credentials, *, region: str, ca: Path
) -> tuple[int, Any]:
    """Status and decoded answer; ``ca`` is the authority of an https server of one's own."""
    call = AWSRequest(
        method="POST", url=url, data=json.dumps(request), headers={"content-type": "application/json"}
    )
    SigV4Auth(credentials, "lambda", region).add_auth(call)
    answer = URLLib3Session(verify=str(ca), timeout=CALL_SECONDS_MAX).send(call.prepare())
    try:
        return answer.status_code, json.loads(answer.content)
    except ValueError:
        return answer.status_code, {"message": answer.text}
