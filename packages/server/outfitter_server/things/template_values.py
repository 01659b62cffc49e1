"""Values in provisioning templates: texts, references to parameters, and the functions that put texts together.

Source: AWS IoT developer guide, "Provisioning templates", sections on parameters, mappings and intrinsic functions.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from outfitter_server.base.refusals import InvalidRequest

CERTIFICATE_PREFIX: Final = "AWS::IoT::Certificate::"
CERTIFICATE_ID: Final = f"{CERTIFICATE_PREFIX}Id"
TEXT_CHARACTERS_MAX: Final = 16_384
DEPTH_MAX: Final = 20
_VARIABLE: Final = re.compile(r"\$\{([A-Za-z0-9:._-]+)\}")
_WIDENING: Final = re.compile(
    r'[*?+#$"\\\x00-\x1f]'
)  # wildcards of policies and topic filters, variables, ends of strings
_FUNCTIONS: Final = ("Ref", "Fn::Join", "Fn::Select", "Fn::FindInMap", "Fn::Split", "Fn::Sub")
_MAP_KEYS = 3  # of Fn::FindInMap


class Values:
    """Resolves values against the parameters of one registration."""

    def __init__(
        self,
        parameters: Mapping[str, str],
        mappings: Mapping[str, Mapping[str, Mapping[str, Any]]],
        foreign: Collection[str] = (),
    ) -> None:
        """``parameters``: with defaults and ``AWS::IoT::Certificate::…`` among them; ``foreign``: said by a device."""
        self._parameters = parameters
        self._mappings = mappings
        self._foreign = foreign
        self._in_policy = False

    def of_policy(self) -> "Values":
        """The same, for texts that decide about rights: what a device says must not change what they mean."""
        values = Values(self._parameters, self._mappings, self._foreign)
        values._in_policy = True
        return values

    def text(self, node: Any, where: str, depth: int = 0) -> str:
        """The text that a value comes to.

        Raises:
            InvalidRequest: it comes to none: a parameter is missing, an index is out of its list…
        """
        value = self._resolve(node, where, depth)
        if not isinstance(value, str):
            raise InvalidRequest(f"{where} must come to a string")
        if len(value) > TEXT_CHARACTERS_MAX:
            raise InvalidRequest(f"{where} comes to more than {TEXT_CHARACTERS_MAX} characters")
        return value

    def texts(self, node: Any, where: str, depth: int = 0) -> list[str]:
        """The list of texts that a value comes to.

        Raises:
            InvalidRequest: it comes to none.
        """
        value = self._resolve(node, where, depth)
        if not isinstance(value, list):
            raise InvalidRequest(f"{where} must come to a list of strings")
        return [self.text(each, where, depth + 1) for each in value]

    def _resolve(self, node: Any, where: str, depth: int) -> Any:
        if depth > DEPTH_MAX:
            raise InvalidRequest(f"{where} is nested more than {DEPTH_MAX} levels deep")
        if isinstance(node, bool):
            return "true" if node else "false"
        if isinstance(node, int | float):
            return str(node)
        if not isinstance(node, dict):
            return node
        if len(node) != 1:
            raise InvalidRequest(f"{where} must be a string or one of {', '.join(_FUNCTIONS)}")
        function, argument = next(iter(node.items()))
        return self._call(function, argument, where, depth + 1)

    def _call(self, function: str, argument: Any, where: str, depth: int) -> Any:
        match function:
            case "Ref":
                return self._parameter(argument, where)
            case "Fn::Join":
                separator, items = _arguments(argument, 2, function, where)
                return self.text(separator, where, depth).join(self.texts(items, where, depth))
            case "Fn::Select":
                return self._select(argument, where, depth)
            case "Fn::Split":
                separator, joined = _arguments(argument, 2, function, where)
                return self.text(joined, where, depth).split(self.text(separator, where, depth) or None)
            case "Fn::FindInMap":
                keys = _arguments(argument, _MAP_KEYS, function, where)
                return self._in_map([self.text(key, where, depth) for key in keys], where)
            case "Fn::Sub":
                return self._substitute(argument, where, depth)
        raise InvalidRequest(f"{where}: there is no function {function}; use {', '.join(_FUNCTIONS)}")

    def _parameter(self, name: Any, where: str) -> str:
        value = self._parameters.get(name) if isinstance(name, str) else None
        if value is None:
            raise InvalidRequest(f"{where} needs parameter {name}, which is not given and has no default")
        if self._in_policy and name in self._foreign and _WIDENING.search(value):
            raise InvalidRequest(
                f"{where}: parameter {name} has a wildcard, quote, backslash, $ or control character, which would change the policy"
            )
        return value

    def _select(self, argument: Any, where: str, depth: int) -> str:
        index, items = _arguments(argument, 2, "Fn::Select", where)
        texts, wanted = self.texts(items, where, depth), self.text(index, where, depth)
        if not (wanted.isascii() and wanted.isdecimal()) or int(wanted[:9]) >= len(texts):
            raise InvalidRequest(f"{where}: Fn::Select asks for entry {wanted[:50]} of {len(texts)}")
        return texts[int(wanted)]

    def _in_map(self, keys: Sequence[str], where: str) -> Any:
        found: Any = self._mappings
        for key in keys:
            found = found.get(key) if isinstance(found, Mapping) else None
        if not isinstance(found, str | list):
            raise InvalidRequest(f"{where}: the mappings have nothing at {' / '.join(keys)}")
        return found

    def _substitute(self, argument: Any, where: str, depth: int) -> str:
        text, given = argument, {}
        if isinstance(argument, list):
            text, given = _arguments(argument, 2, "Fn::Sub", where)
        if not isinstance(text, str) or not isinstance(given, dict):
            raise InvalidRequest(f"{where}: Fn::Sub takes a string, or a list of a string and a map")
        own = {name: self.text(node, where, depth) for name, node in given.items()}
        return _VARIABLE.sub(
            lambda found: own[found[1]] if found[1] in own else self._parameter(found[1], where), text
        )


def references(node: Any, depth: int = 0) -> Iterator[str]:
    """The parameters that a value refers to, and every function that there is not as an error.

    Raises:
        InvalidRequest: nested too deep.
    """
    if depth > DEPTH_MAX:
        raise InvalidRequest(f"the template is nested more than {DEPTH_MAX} levels deep")
    if isinstance(node, list):
        for each in node:
            yield from references(each, depth + 1)
    elif isinstance(node, dict):
        if len(node) == 1 and isinstance(name := node.get("Ref"), str):
            yield name
        if len(node) == 1 and isinstance(text := node.get("Fn::Sub"), str):
            yield from _VARIABLE.findall(text)
        for key, each in node.items():
            if key.startswith("Fn::") and key not in _FUNCTIONS:
                raise InvalidRequest(f"there is no function {key}; use {', '.join(_FUNCTIONS)}")
            yield from references(each, depth + 1)


def _arguments(argument: Any, count: int, function: str, where: str) -> list[Any]:
    if not isinstance(argument, list) or len(argument) != count:
        raise InvalidRequest(f"{where}: {function} takes a list of {count}")
    return argument
