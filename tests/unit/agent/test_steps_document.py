"""Documents of AWS's device client, read."""

from typing import Any

import pytest
from outfitter_agent.plans.steps import Command, Handler, is_steps, parse_steps
from outfitter_agent.plans.troubles import Trouble


def _document(**action: Any) -> dict[str, Any]:
    step = {"name": "one", "type": "runCommand", "input": {"command": "echo,hello"}} | action
    return {"version": "1.0", "steps": [{"action": step}]}


def test_commas_separate_the_words_of_a_command_unless_escaped() -> None:
    (step,) = parse_steps(_document(input={"command": r"echo,a\,b,c d"})).steps
    assert step.act == Command(words=("echo", "a,b", "c d"))


def test_what_a_template_leaves_empty_is_not_given() -> None:
    given = {"handler": "reboot.sh", "path": ""}
    (step,) = parse_steps(_document(type="runHandler", input=given, runAsUser="")).steps
    assert step.user is None
    assert step.act == Handler(name="reboot.sh", arguments=(), folder=None)


def test_texts_of_truth_are_taken_as_truth() -> None:
    document = _document(ignoreStepFailure="true") | {"includeStdOut": True}
    read = parse_steps(document)
    assert read.include_stdout
    assert read.steps[0].ignore_failure


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"version": "2.0", "steps": []}, "version"),
        ({"version": "1.0", "steps": []}, "steps"),
        ({"version": "1.0", "steps": [{}]}, r"steps\[0\].action"),
        (_document(type="runShell"), r"steps\[0\].action.type"),
        (_document(input={}), r"steps\[0\].action.input.command"),
        (_document(input={"command": "echo hello"}), r"steps\[0\].action.input.command"),
        (_document(type="runHandler", input={"handler": "../x"}), r"steps\[0\].action.input.handler"),
        (_document(allowStdErr=-1), r"steps\[0\].action.allowStdErr"),
        (_document(ignoreStepFailure={}), r"steps\[0\].action.ignoreStepFailure"),
        (_document() | {"conditions": [{"key": "os", "value": []}]}, r"conditions\[0\].value"),
    ],
)
def test_a_malformed_document_is_refused_with_the_member_that_is_wrong(
    document: dict[str, Any], named: str
) -> None:
    assert is_steps(document)
    with pytest.raises(Trouble, match=named):
        parse_steps(document)
