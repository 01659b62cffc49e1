"""What can stop a plan.

    Trouble     a check failed or a hand could not do its part: the job ends FAILED with the message as the reason
    └── Refusal the device will not do this at all: the job ends REJECTED
    Abandoned   the job is no longer this device's to carry out (cancelled, deleted, timed out): undo, report nothing

Anything else that a hand raises is a fault of the program, as is Trouble that leaves a plan: the loop goes on later, from what
the journal says.
"""


class Trouble(Exception):  # noqa: N818 - the word for it, in the plans and in the reports
    """The operation cannot succeed; the message is the reason that the job is given."""

    def __init__(self, reason: str) -> None:
        """Keep the reason: what failed, where, and what was seen."""
        super().__init__(reason)
        self.reason = reason


class Refusal(Trouble):
    """The operation is not one that this device carries out."""


class Abandoned(Exception):  # noqa: N818 - a state of the job, not a fault
    """The job has ended without this device."""
