"""AWS's managed job templates: remote actions that AWS's device client carries out, ready to be filled in.

What they are called, what parameters they take and the documents that they make are AWS's; a device that runs AWS's
device client, or understands the same documents, does what they say. An optional parameter that is not given leaves an
empty text, which the device client takes as not given; the arguments of handlers are required ones only, so that no
handler is ever called with an empty argument.

Source: AWS IoT developer guide, "Managed template remote actions and job documents"; DescribeManagedJobTemplate.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from outfitter_server.base.refusals import InvalidRequest, NotFound

_ARN: Final = re.compile(r"arn:aws[a-z-]*:iot:[a-z0-9-]*::jobtemplate/(?P<name>[^:/]+):(?P<version>[^:/]+)")
_ANY: Final = "(.*?)"


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """What whoever makes a job from a template gives, or may give; ``regex`` holds for the whole of the value."""

    key: str
    description: str
    regex: str
    example: str
    optional: bool = False


class ManagedTemplate(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a managed template; ``document`` is JSON text with its parameters' placeholders."""

    name: str
    description: str
    parameters: tuple[Parameter, ...]
    document: str
    version: str = "1.0"
    environments: tuple[str, ...] = ("LINUX",)

    def arn(self, region: str) -> str:
        """Of no account: it is the same for everybody."""
        return f"arn:aws:iot:{region}::jobtemplate/{self.name}:{self.version}"


_USER: Final = Parameter(
    key="runAsUser",
    description="The user of the device as whom the action runs; without one, the user of the device client.",
    regex="(.){0,256}",
    example="user1",
    optional=True,
)
_HANDLER: Final = Parameter(
    key="pathToHandler",
    description="The folder of the handler on the device; without one, where the device client looks for handlers.",
    regex="(.){0,4096}",
    example="/path/to/handler/script",
    optional=True,
)


def _placeholder(key: str) -> str:
    return f"${{aws:iot:parameter:{key}}}"


def _document(action: str, kind: str, given: Mapping[str, Any]) -> str:
    step = {"name": action, "type": kind, "input": given, "runAsUser": _placeholder(_USER.key)}
    return json.dumps({"version": "1.0", "steps": [{"action": step}]}, separators=(",", ":"))


def _handler(action: str, description: str, handler: str, *required: Parameter) -> ManagedTemplate:
    given: dict[str, Any] = {"handler": handler}
    if required:
        given["args"] = [_placeholder(parameter.key) for parameter in required]
    given["path"] = _placeholder(_HANDLER.key)
    return ManagedTemplate(
        name=f"AWS-{action}",
        description=description,
        parameters=(*required, _USER, _HANDLER),
        document=_document(action, "runHandler", given),
    )


def _list_of(key: str, what: str, example: str) -> Parameter:
    return Parameter(key=key, description=f"{what}, separated by spaces.", regex=_ANY, example=example)


_DOWNLOAD_URL: Final = Parameter(
    key="downloadUrl",
    description="Where the file is: any URL that the device can fetch, or a placeholder for a pre-signed one.",
    regex=_ANY,
    example="http://www.example.com/index.html",
)
_FILE_PATH: Final = Parameter(
    key="filePath",
    description="The path on the device at which the file is stored.",
    regex=_ANY,
    example="/path/to/file",
)
_COMMAND: Final = Parameter(
    key="command",
    description="The command and its arguments, separated by commas; a comma within one is escaped.",
    regex=_ANY,
    example="mkdir,-p,/path/to/folder",
)

_ALL: Final = (
    _handler(
        "Download-File", "Downloads a file to the device.", "download-file.sh", _DOWNLOAD_URL, _FILE_PATH
    ),
    _handler(
        "Install-Application",
        "Installs applications with the device's package manager.",
        "install-packages.sh",
        _list_of("packages", "The applications to install", "nginx tree"),
    ),
    _handler("Reboot", "Restarts the device.", "reboot.sh"),
    _handler(
        "Remove-Application",
        "Removes applications with the device's package manager.",
        "remove-packages.sh",
        _list_of("packages", "The applications to remove", "nginx tree"),
    ),
    _handler(
        "Restart-Application",
        "Stops system services of the device and starts them again.",
        "restart-services.sh",
        _list_of("services", "The services to restart", "nginx sshd"),
    ),
    ManagedTemplate(
        name="AWS-Run-Command",
        description="Runs a command on the device.",
        parameters=(_COMMAND, _USER),
        document=_document("Run-Command", "runCommand", {"command": _placeholder(_COMMAND.key)}),
    ),
    _handler(
        "Start-Application",
        "Starts system services of the device.",
        "start-services.sh",
        _list_of("services", "The services to start", "nginx sshd"),
    ),
    _handler(
        "Stop-Application",
        "Stops system services of the device.",
        "stop-services.sh",
        _list_of("services", "The services to stop", "nginx sshd"),
    ),
)
MANAGED: Final[Mapping[str, ManagedTemplate]] = {
    template.name: template for template in _ALL
}  # by name, sorted


def managed_template(name: str, version: str | None = None) -> ManagedTemplate:
    """The managed template of this name and version; without a version the one there is.

    Raises:
        NotFound: there is none.
    """
    found = MANAGED.get(name)
    if found is None:
        raise NotFound(
            f"managed job template {name} does not exist; ListManagedJobTemplates tells which there are"
        )
    if version not in {None, found.version}:
        raise NotFound(f"managed job template {name} has no version {version}, it has {found.version}")
    return found


def managed_template_of(arn: str) -> ManagedTemplate | None:
    """The managed template that an ARN without an account names; None for an ARN of another form.

    Raises:
        NotFound: it names one that there is not.
    """
    match = _ARN.fullmatch(arn)
    return None if match is None else managed_template(match["name"], match["version"])


def check_parameters(template: ManagedTemplate, given: Mapping[str, str]) -> None:
    """Whether the values may stand in the template's document; that the required ones are there is looked at elsewhere.

    Raises:
        InvalidRequest: a value is not of the form that its parameter asks for.
    """
    for parameter in template.parameters:
        value = given.get(parameter.key)
        if value is not None and not re.fullmatch(parameter.regex, value):
            raise InvalidRequest(
                f"documentParameters: the value of {parameter.key!r} does not match {parameter.regex}; "
                f"an example is {parameter.example}"
            )
