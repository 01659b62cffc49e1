"""``outfitterd`` that does no work in the background: what is begun stays as it is, for as long as a test looks at it."""

from outfitter_server.main import command
from outfitter_server.services.pacer import Pacer


class RestingPacer(Pacer):
    """The real one, never begun."""

    def start(self) -> None:
        pass


if __name__ == "__main__":
    from outfitter_server.main import job_service

    job_service.Pacer = RestingPacer
    command.main()
