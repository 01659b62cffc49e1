"""What policies say of a certificate, asked by people: the same documents and the same rules as at the gateway."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from outfitter_server.access.policy import PolicyDocument, judge, missing_variables, parse_policy
from outfitter_server.base.refusals import InvalidRequest, NotFound
from outfitter_server.services.certificates import certificate_or_refuse
from outfitter_server.services.committer import Committer
from outfitter_server.services.devices import Devices
from outfitter_server.services.policies import policy_document
from outfitter_server.services.ports import Transaction
from outfitter_server.services.things import thing_or_refuse

ACTIONS: Final[Mapping[str, str]] = {
    "CONNECT": "iot:Connect",
    "PUBLISH": "iot:Publish",
    "SUBSCRIBE": "iot:Subscribe",
    "RECEIVE": "iot:Receive",
}
QUESTIONS_MAX: Final = 10
RESOURCES_MAX: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """A policy that decides, with the document that does."""

    name: str
    document: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """May the principal do this to all of these (ARNs)?"""

    action: str
    resources: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer, and the policies behind it.

    Attributes:
        decision: ALLOWED, EXPLICIT_DENY or IMPLICIT_DENY.
        missing: policy variables that the policies use and the connection would not have.
    """

    question: Question
    decision: str
    allowing: Sequence[str]
    denying: Sequence[str]
    silent: Sequence[str]
    missing: Sequence[str]


class Authorization:
    """Answers questions about privileges."""

    def __init__(self, committer: Committer, devices: Devices) -> None:
        """``devices`` tells the policy variables of a connection."""
        self._committer = committer
        self._devices = devices

    def effective(self, certificate: str | None, thing: str | None) -> list[Effective]:
        """The policies that decide for a certificate, or by the groups of a thing, or both.

        Raises:
            NotFound: one of them does not exist.
            InvalidRequest: neither is given.
        """
        if certificate is None and thing is None:
            raise InvalidRequest("give a principal, a thingName, or both")
        return self._committer.read(lambda tx: _effective(tx, certificate, thing))

    def test(
        self,
        certificate: str | None,
        client_id: str,
        questions: Sequence[Question],
        *,
        add: Collection[str] = (),
        skip: Collection[str] = (),
    ) -> list[Verdict]:
        """Answer each question as the gateway would, with policies added and left out.

        Raises:
            NotFound: the certificate, or a policy to add, does not exist.
            InvalidRequest: too many questions, or an action that there is not.
        """
        if len(questions) > QUESTIONS_MAX or any(len(each.resources) > RESOURCES_MAX for each in questions):
            raise InvalidRequest(f"at most {QUESTIONS_MAX} questions of {RESOURCES_MAX} resources each")
        texts = self._committer.read(lambda tx: _texts(tx, certificate, add))
        documents = {name: parse_policy(text) for name, text in texts.items() if name not in skip}
        variables = {"iot:ClientId": client_id} if client_id else {}
        identity = None if certificate is None else self._devices.identify_id(certificate)
        if identity is not None:
            variables = self._devices.variables(identity, client_id)
            if not client_id:
                del variables["iot:ClientId"]
        return [_verdict(question, documents, variables) for question in questions]


def _verdict(
    question: Question, documents: Mapping[str, PolicyDocument], variables: Mapping[str, str]
) -> Verdict:
    action = ACTIONS.get(question.action)
    if action is None:
        raise InvalidRequest(f"actionType cannot be {question.action}: use {', '.join(ACTIONS)}")
    said = {
        resource: {name: judge(each, action, resource, variables) for name, each in documents.items()}
        for resource in question.resources
    }
    allowing = [name for name in documents if any(each[name] is True for each in said.values())]
    denying = [name for name in documents if any(each[name] is False for each in said.values())]
    decision = "ALLOWED"
    if denying:
        decision = "EXPLICIT_DENY"
    elif not said or not all(any(word is True for word in each.values()) for each in said.values()):
        decision = "IMPLICIT_DENY"
    return Verdict(
        question=question,
        decision=decision,
        allowing=allowing,
        denying=denying,
        silent=[name for name in documents if name not in allowing and name not in denying],
        missing=sorted(missing_variables(documents.values(), action, variables)),
    )


def _texts(tx: Transaction, certificate: str | None, add: Collection[str]) -> dict[str, str]:
    texts: dict[str, str] = {}
    if certificate is not None:
        texts = {each.name: each.document for each in _effective(tx, certificate, None)}
    for name in add:
        document = policy_document(tx, name)
        if document is None:
            raise NotFound(f"policy {name} does not exist")
        texts[name] = document
    return texts


def _effective(tx: Transaction, certificate: str | None, thing: str | None) -> list[Effective]:
    found: dict[str, str] = {}
    if certificate is not None:
        certificate_or_refuse(tx, certificate)
        for row in tx.all("policies_effective_of_certificate", id=certificate):
            found[row["name"]] = row["document"]
    if thing is not None:
        thing_or_refuse(tx, thing)
        for row in tx.all("policies_effective_of_thing", thing=thing):
            found[row["name"]] = row["document"]
    return [Effective(name=name, document=found[name]) for name in sorted(found)]
