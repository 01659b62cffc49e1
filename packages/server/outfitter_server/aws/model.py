"""AWS's service models, loaded once at start, and the routes that follow from them.

A route is a method and a path template: ``/things/{thingName}/jobs/$next`` with literal parts, labels, and greedy labels
(``{arn+}``, the rest of the path). Where a literal and a label both fit, the literal wins. Labels are percent-decoded
once, after the path was split, so that an encoded slash stays inside its label; literals compare decoded, so that
``$next`` and ``%24next`` are the same.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final
from urllib.parse import unquote

import botocore.session

# The name in SigV4's credential scope, and botocore's name of the service where that is another.
REST_SERVICES: Final = {
    "iot": "iot",
    "iot-jobs-data": "iot-jobs-data",
    "iotdata": "iot-data",
    "lambda": "lambda",
}

_LABEL = re.compile(r"\{([^}+]+)(\+?)\}\Z")

OperationModel = Any  # botocore.model.OperationModel; botocore has no types
Shape = Any  # botocore.model.Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """An operation and the labels of the path that led to it, still percent-encoded, by wire name."""

    operation: OperationModel
    labels: Mapping[str, str]


@dataclass(slots=True)
class _Node:
    literals: "dict[str, _Node]" = field(default_factory=dict)
    label: "_Node | None" = None
    operation: OperationModel | None = None
    names: tuple[str, ...] = ()
    greedy: tuple[OperationModel, tuple[str, ...]] | None = None


class ServiceModel:
    """One service: its operations, error shapes and routes."""

    def __init__(self, name: str, model: Any) -> None:
        self.name = name
        self._model = model
        self.errors: dict[str, Shape] = {shape.name: shape for shape in model.error_shapes}
        self._roots: dict[str, _Node] = {}
        for operation_name in model.operation_names:
            self._add(model.operation_model(operation_name))

    def operation(self, name: str) -> OperationModel:
        """The model of an operation.

        Raises:
            LookupError: the service has none of that name.
        """
        if name not in self._model.operation_names:
            raise LookupError(f"AWS's service {self.name} has no operation {name}")
        return self._model.operation_model(name)

    def route(self, method: str, raw_path: str) -> Route | None:
        """The operation that a request line names, None when AWS has none."""
        root = self._roots.get(method)
        if root is None:
            return None
        return _find(root, raw_path.removeprefix("/").split("/"), 0, [])

    def _add(self, operation: OperationModel) -> None:
        node = self._roots.setdefault(operation.http["method"], _Node())
        names: list[str] = []
        path, query, _ = operation.http["requestUri"].partition("?")
        for part in path.removeprefix("/").split("/"):
            label = _LABEL.match(part)
            if label is None:
                node = node.literals.setdefault(part, _Node())
                continue
            names.append(label[1])
            if label[2]:
                node.greedy = (operation, tuple(names))
                return
            node.label = node = node.label or _Node()
        if query and node.operation is not None:
            return  # told apart by its query alone; none of these is served, and the path is the other's
        node.operation, node.names = operation, tuple(names)


@cache
def load_services() -> Mapping[str, ServiceModel]:
    """The rest-json services that can have handlers, by signing name; loaded once, a third of a second, and never changed."""
    session = botocore.session.Session()
    return {
        scope: ServiceModel(scope, session.get_service_model(name)) for scope, name in REST_SERVICES.items()
    }


def _find(node: _Node, segments: list[str], at: int, values: list[str]) -> Route | None:
    if at == len(segments):
        if node.operation is None:
            return None
        return Route(operation=node.operation, labels=dict(zip(node.names, values, strict=True)))
    segment = segments[at]
    literal = node.literals.get(unquote(segment) if "%" in segment else segment)
    found = None if literal is None else _find(literal, segments, at + 1, values)
    if found is None and node.label is not None and segment:
        found = _find(node.label, segments, at + 1, [*values, segment])
    if found is None and node.greedy is not None and segment:
        operation, names = node.greedy
        labels = dict(zip(names, [*values, "/".join(segments[at:])], strict=True))
        found = Route(operation=operation, labels=labels)
    return found
