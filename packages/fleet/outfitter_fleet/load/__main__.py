"""``python -m outfitter_fleet.load``: the benchmarks, as a table or with ``--json``; progress goes to standard error."""

import sys
from functools import partial

from outfitter_fleet.load.bench import Size, measure, parts
from outfitter_fleet.load.command import options, run


def main() -> int:
    """See command.run; the defaults are the published measurement."""
    size = Size()
    parser = options("outfitter_fleet.load", __doc__)
    parser.add_argument("--connections", type=int, default=size.connections)
    parser.add_argument(
        "--members", type=int, default=size.members, help="things of the group that gets a job"
    )
    parser.add_argument("--rounds", type=int, default=size.rounds)
    parser.add_argument("--round-seconds", type=float, default=size.round_seconds)
    parser.add_argument(
        "--jobs", type=int, default=size.jobs, help="executions that each device has to end, over each wire"
    )
    given = parser.parse_args()
    size = Size(
        connections=given.connections,
        members=given.members,
        rounds=given.rounds,
        round_seconds=given.round_seconds,
        jobs=given.jobs,
    )
    return run(given, "updates", partial(measure, size=size), parts)


if __name__ == "__main__":
    sys.exit(main())
