"""The command ``outfitterd``."""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from outfitter_server.main.settings import ServeSettings, WrongUsage, parse_address, parse_name

_EXAMPLES = """\
examples:
  outfitterd serve --data /var/lib/outfitter
      everything on this machine: http on 127.0.0.1:4566, MQTT over TLS on 127.0.0.1:8883
  outfitterd serve --data /var/lib/outfitter --https 0.0.0.0:443 --mqtts 0.0.0.0:8883 --advertise updates.example.net
      a server for a network; devices and people call it updates.example.net
  outfitterd ca --data /var/lib/outfitter > ca.pem
      the certificate that devices and SDKs must trust

Then: AWS_ENDPOINT_URL=http://127.0.0.1:4566 AWS_SHARED_CREDENTIALS_FILE=DIR/credentials aws iot list-things
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit: 0 done, 1 failed, 2 wrong usage."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        status = given.run(given)
    except WrongUsage as error:
        parser.error(str(error))
    sys.exit(status)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="outfitterd",
        description="The Outfitter server: device gateway, file store and job service in one process.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"outfitterd {version('outfitter-server')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_serve(commands)
    ca = commands.add_parser(
        "ca",
        help="print the installation's CA certificate (PEM)",
        epilog="example: outfitterd ca --data /var/lib/outfitter > ca.pem",
    )
    ca.add_argument("--data", type=_folder, required=True, metavar="DIR", help="the data folder")
    ca.add_argument("--json", action="store_true", help="print it as a JSON object")
    ca.set_defaults(run=_ca)
    return parser


def _add_serve(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    serve = commands.add_parser(
        "serve",
        help="run the server in the foreground",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = serve.add_argument
    add("--data", type=_folder, required=True, metavar="DIR", help="the data folder, made when missing")
    add(
        "--http",
        default="127.0.0.1:4566",
        metavar="HOST:PORT",
        help="AWS APIs and objects, plain (%(default)s; off)",
    )
    add("--https", default="off", metavar="HOST:PORT", help="the same over TLS (%(default)s)")
    add(
        "--mqtt",
        default="off",
        metavar="HOST:PORT",
        help="plain MQTT for trials: client id = thing (%(default)s)",
    )
    add(
        "--mqtts",
        default="127.0.0.1:8883",
        metavar="HOST:PORT",
        help="MQTT over TLS for devices (%(default)s; off)",
    )
    add(
        "--advertise",
        action="append",
        default=[],
        metavar="HOST",
        help="a name or address of this server; repeatable",
    )
    add("--account", default="000000000000", metavar="ID", help="the account in ARNs (%(default)s)")
    add("--region", default="us-east-1", metavar="NAME", help="the region in ARNs (%(default)s)")
    add("--insecure", action="store_true", help="allow --http and --mqtt off loopback")
    add("--verbose", action="store_true", help="log every request")
    serve.set_defaults(run=_serve)


def _folder(text: str) -> Path:
    """A path; an empty text, such as a variable that is not set, is not the working folder."""
    if not text:
        raise argparse.ArgumentTypeError("the folder's name is empty")
    return Path(text)


def _serve(given: argparse.Namespace) -> int:
    settings = ServeSettings(
        data=given.data,
        http=parse_address(given.http),
        https=parse_address(given.https),
        mqtt=parse_address(given.mqtt),
        mqtts=parse_address(given.mqtts),
        advertise=tuple(parse_name(name) for name in given.advertise),
        account=given.account,
        region=given.region,
        insecure=given.insecure,
    )
    settings.check()
    from outfitter_server.main.serve import serve

    return serve(settings, verbose=given.verbose)


def _ca(given: argparse.Namespace) -> int:
    import json

    path = given.data / "ca" / "ca.pem"
    try:
        pem = path.read_text("ascii")
    except OSError as error:
        sys.stderr.write(
            f"outfitterd: {path}: {error.strerror}; has `outfitterd serve --data {given.data}` run?\n"
        )
        return 1
    sys.stdout.write(json.dumps({"certificatePem": pem}) + "\n" if given.json else pem)
    return 0
