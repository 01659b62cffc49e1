"""The command ``outfitterd``."""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from outfitter_server.main.leaving import leave, say
from outfitter_server.main.settings import (
    FunctionLimits,
    ServeSettings,
    WrongUsage,
    parse_address,
    parse_name,
    parse_rates,
)

_EXAMPLES = """\
examples:
  outfitterd serve --data /var/lib/outfitter
      everything on this machine: http on 127.0.0.1:4566, MQTT over TLS on 127.0.0.1:8883
  outfitterd serve --data /var/lib/outfitter --https 0.0.0.0:443 --mqtts 0.0.0.0:8883 --advertise updates.example.net
      a server for a network; devices and people call it updates.example.net
  outfitterd ca --data /var/lib/outfitter > ca.pem
      the certificate that devices and SDKs must trust
  outfitterd backup --data /var/lib/outfitter /backups/monday.tar
      everything, while it is served; outfitterd restore makes a data folder of it again

Then: AWS_ENDPOINT_URL=http://127.0.0.1:4566 AWS_SHARED_CREDENTIALS_FILE=DIR/credentials aws iot list-things
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit: 0 done, 1 failed, 2 wrong usage."""
    sys.exit(leave("outfitterd", lambda: _command(arguments)))


def _command(arguments: Sequence[str] | None) -> int:
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        status: int = given.run(given)
    except WrongUsage as error:
        parser.error(str(error))
    return status


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
    ca.add_argument("--data", type=_path, required=True, metavar="DIR", help="the data folder")
    ca.add_argument("--json", action="store_true", help="print it as a JSON object")
    ca.set_defaults(run=_ca)
    _add_backup(commands)
    _add_restore(commands)
    return parser


def _add_backup(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    backup = commands.add_parser(
        "backup",
        help="write a backup of a data folder, also while it is served",
        description="State, files, keys: everything of an installation, as it was at one moment. It holds secrets.",
        epilog="example: outfitterd backup --data /var/lib/outfitter /backups/2026-11-23.tar",
    )
    backup.add_argument("--data", type=_path, required=True, metavar="DIR", help="the data folder")
    backup.add_argument(
        "target",
        type=_path,
        metavar="TARGET",
        help="what to make: a tar file if it ends in .tar, else a folder, which shares unchanged files with DIR",
    )
    backup.add_argument("--json", action="store_true", help="print what was done as a JSON object")
    backup.set_defaults(run=_backup)


def _add_restore(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    back = commands.add_parser(
        "restore",
        help="make a data folder of a backup",
        description="Checks every byte of the backup, then makes the folder, or changes nothing.",
        epilog="example: outfitterd restore /backups/2026-11-23.tar --data /var/lib/outfitter",
    )
    back.add_argument("source", type=_path, metavar="SOURCE", help="what outfitterd backup made")
    back.add_argument(
        "--data", type=_path, required=True, metavar="DIR", help="the data folder, missing or empty"
    )
    back.add_argument("--json", action="store_true", help="print what was done as a JSON object")
    back.set_defaults(run=_restore)


def _add_serve(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    serve = commands.add_parser(
        "serve",
        help="run the server in the foreground",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = serve.add_argument
    add("--data", type=_path, required=True, metavar="DIR", help="the data folder, made when missing")
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
    add(
        "--console-bucket",
        metavar="NAME",
        help="the one bucket whose pages may run scripts (outfitter-console-ACCOUNT-REGION)",
    )
    _add_functions(serve)
    _add_rates(serve)
    add("--insecure", action="store_true", help="allow --http and --mqtt off loopback")
    add("--verbose", action="store_true", help="log every request")
    serve.set_defaults(run=_serve)


def _add_functions(serve: argparse.ArgumentParser) -> None:
    add = serve.add_argument
    add(
        "--function-workers",
        type=int,
        default=10,
        metavar="N",
        help="functions that run at once (%(default)s)",
    )
    add(
        "--function-memory",
        type=int,
        default=3_008,
        metavar="MB",
        help="the largest MemorySize (%(default)s)",
    )
    add(
        "--unconfined-functions",
        action="store_true",
        help="run functions even where nothing keeps them from this server's files",
    )


def _add_rates(serve: argparse.ArgumentParser) -> None:
    add = serve.add_argument
    add(
        "--rates",
        choices=("off", "aws"),
        default="off",
        help="how often a second APIs may be called: as often as on AWS, or as often as can be (%(default)s)",
    )
    add(
        "--rate",
        action="append",
        default=[],
        metavar="NAME=PER_SECOND",
        help="the rate of one operation, device-reads, device-writes or connection-publishes; NAME=off takes one out; repeatable",
    )


def _path(text: str) -> Path:
    """A path; an empty text, such as a variable that is not set, is not the working folder."""
    if not text:
        raise argparse.ArgumentTypeError("the name is empty")
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
        functions=FunctionLimits(
            workers_max=given.function_workers,
            memory_mb_max=given.function_memory,
            unconfined=given.unconfined_functions,
        ),
        console_bucket=given.console_bucket,
        rates=parse_rates(given.rates, given.rate),
    )
    settings.check()
    from outfitter_server.main.serve import serve

    return serve(settings, verbose=given.verbose)


def _backup(given: argparse.Namespace) -> int:
    from outfitter_server.main.backup import run_backup

    return run_backup(given.data, given.target, as_json=given.json)


def _restore(given: argparse.Namespace) -> int:
    from outfitter_server.main.restore import run_restore

    return run_restore(given.source, given.data, as_json=given.json)


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
    except UnicodeDecodeError:
        sys.stderr.write(
            f"outfitterd: {path} is damaged: it is no certificate in PEM; bring it back from a backup\n"
        )
        return 1
    say(json.dumps({"certificatePem": pem}) + "\n" if given.json else pem)
    return 0
