"""YAML files as DVC reads them: version 1.2, parsed by PyYAML's C loader.

DVC reads with ruamel.yaml's safe loader, which takes ten times as long.  PyYAML by itself reads YAML 1.1, where `no` is
false.  Here it parses, and version 1.2 turns nodes into values; what the two would read differently is refused.
"""

import copy
import re
from collections.abc import Callable, Hashable
from datetime import date, datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from .spec import Fault, InputError

DEEPEST = 200  # nesting of mappings and lists
MOST = 100_000  # values after aliases are expanded (or the length of the text, if larger)
# PyYAML's composer recurses in C: its stack overflows at 20 000 levels.  Each needs one of these marks, or an indent.
_OPENS = re.compile(r"[\[{]|[-?]\s")
_MANY = 5000

_CORE = "tag:yaml.org,2002:"
_FLOAT = (
    r"(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"
    r"|[-+]?\.[0-9_]+(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
_TIMESTAMP = (
    r"(?=\d{4}-\d\d-\d\d$|.*:)"  # a date without a time has two digits for month and day
    r"(\d{4})-(\d\d?)-(\d\d?)(?:(?:[Tt]|[ \t]+)(\d\d?):(\d\d):(\d\d)(?:\.(\d*))?"
    r"(?:[ \t]*(Z|([-+])(\d\d?)(?::(\d\d))?))?)?$"
)


class _Refused(Exception):
    """Arguments: the line (from 1), why the text is refused there, and what to do."""


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file, as `parse_yaml` does."""
    try:
        return parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        fix = f"run from the project's root, where {path.name} is"
        raise InputError(Fault("", "no such file", fix, source=str(path))) from None
    except UnicodeDecodeError as error:
        why = f"byte {error.start} is not UTF-8"
        raise InputError(Fault("", why, "save the file as UTF-8", source=str(path))) from None


def parse_yaml(text: str, source: str) -> Any:
    """Return a YAML text's mappings, lists and scalars.  Raises InputError with `source` if it is not valid YAML 1.2.

    The result is the caller's own, but values repeated by an alias are one object.
    """
    try:
        return copy.deepcopy(_parse(text))
    except _Refused as error:
        line, why, fix = error.args
        raise InputError(Fault("", f"not valid YAML: {why}", fix, source=f"{source}:{line}")) from None


@cache
def _parse(text: str) -> Any:
    """Return the content of a YAML text; cached, because a stage reads its files again before it writes."""
    _check_text(text)
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
        return None if node is None else _Values(max(MOST, len(text))).of(node)
    except yaml.YAMLError as error:
        raise _refused(error, text) from None
    except RecursionError:  # raised by PyYAML's Python loader, used if libyaml is missing
        raise _Refused(1, f"is nested more than {DEEPEST} deep", "write it flatter") from None


def _check_text(text: str) -> None:
    """Raise _Refused if PyYAML and DVC would read the text differently, or if the parser would crash."""
    for line, content in enumerate(text.split("\n"), start=1):
        if content.startswith("%YAML") and content.split()[1:2] != ["1.2"]:
            raise _Refused(line, f"{content.strip()!r:.40} asks for another version", "take it out: this is YAML 1.2")
        if content.strip() and not content.startswith(("#", "%")):
            break
    if found := re.search("[\x85\u2028\u2029]|(?<!^)\ufeff", text):
        line = text.count("\n", 0, found.start()) + 1
        raise _Refused(line, f"the character {found[0]!r} has no one meaning", "take it out, or write a line end")
    try:
        if "\t" in text or re.search(r"[&*]\S*[?:%@`]", text):
            for token in yaml.scan(text, Loader=_Loader):
                _check_token(token, text)
        if len(_OPENS.findall(text)) > _MANY:
            depth = 0
            for event in yaml.parse(text, Loader=_Loader):
                depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
                if depth > DEEPEST:
                    raise _too_deep(event)
    except yaml.YAMLError as error:
        raise _refused(error, text) from None


def _check_token(token: yaml.Token, text: str) -> None:
    """Raise _Refused for a tab next to or in plain text, and for a mark that could be part of an anchor's name."""
    start, end = token.start_mark.index, token.end_mark.index
    if isinstance(token, yaml.ScalarToken) and token.plain and "\t" in text[max(start - 1, 0) : end + 1]:
        raise _Refused(_line(token), "a tab beside plain text", "write blanks, or put quotes around the text")
    if isinstance(token, yaml.AnchorToken | yaml.AliasToken) and text[end : end + 1] in tuple("?:%@`"):
        raise _Refused(_line(token), f"{text[end]!r} follows {text[start:end]!r:.40} at once", "write a blank between")


class _Values:
    """Turns nodes into values; all aliases of a node share one value."""

    def __init__(self, most: int) -> None:
        self._most, self._size = most, 0  # number of values so far, with aliases expanded
        self._depth = 0
        # Mapping or list → its value and size; None while it is read.
        self._seen: dict[int, tuple[Any, int] | None] = {}

    def of(self, node: yaml.Node) -> Any:
        """Return the value of `node`."""
        if isinstance(node, yaml.ScalarNode):
            self._size += 1
            return _scalar(node)
        if id(node) in self._seen:
            return self._again(node)
        self._seen[id(node)] = None
        before, self._depth = self._size, self._depth + 1
        if self._depth > DEEPEST:
            raise _too_deep(node)
        self._size += 1
        if isinstance(node, yaml.MappingNode) and node.tag == _CORE + "map":
            value: Any = self._mapping(node)
        elif isinstance(node, yaml.SequenceNode) and node.tag == _CORE + "seq":
            value = [self.of(child) for child in node.value]
        else:
            raise _unknown_tag(node)
        self._depth -= 1
        self._seen[id(node)] = value, self._size - before
        return value

    def _again(self, node: yaml.Node) -> Any:
        seen = self._seen[id(node)]
        if seen is None:
            raise _Refused(_line(node), "an alias within what it names", "write the value out")
        value, size = seen
        self._size += size
        if self._size > self._most:
            raise _Refused(_line(node), f"aliases repeat more than {self._most} values", "write fewer of them")
        return value

    def _mapping(self, node: yaml.MappingNode) -> dict[Any, Any]:
        merged: dict[Any, Any] = {}
        own: dict[Any, Any] = {}
        merges = False
        for key_node, value_node in node.value:
            if key_node.tag == _CORE + "merge":
                if merges:
                    raise _Refused(_line(key_node), 'found duplicate key "<<"', "name all in one list: <<: [*a, *b]")
                merged, merges = self._merged(value_node), True
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                raise _Refused(_line(key_node), "a list or a mapping is a key", "write a name as the key")
            key: Hashable = self.of(key_node)
            if key in own:
                raise _Refused(_line(key_node), f'found duplicate key "{key}"', "keep one of the two")
            own[key] = self.of(value_node)
        return merged | own

    def _merged(self, node: yaml.Node) -> dict[Any, Any]:
        """Return the mapping that `<<` merges in; in a list of mappings, earlier ones take precedence."""
        merged: dict[Any, Any] = {}
        for source in reversed(node.value) if isinstance(node, yaml.SequenceNode) else [node]:
            if not isinstance(source, yaml.MappingNode):
                raise _Refused(_line(source), "`<<` takes over mappings only", "name one by its alias: <<: *name")
            merged |= self.of(source)
        return merged


def _scalar(node: yaml.ScalarNode) -> Any:
    if node.tag == _CORE + "str":  # the most frequent case first
        if node.value == "" and not node.style:
            raise _Refused(_line(node), "a tag with nothing behind it", "write '' for empty text, or take out the tag")
        return node.value
    make = _SCALARS.get(node.tag)
    if make is None:
        raise _unknown_tag(node)
    try:
        return make(node.value)
    except (ValueError, OverflowError):
        kind = node.tag.removeprefix(_CORE)
        raise _Refused(_line(node), f"{node.value!r:.40} is no {kind}", "correct it, or put quotes around it") from None


def _line(node: yaml.Node | yaml.Event | yaml.Token) -> int:
    return int(node.start_mark.line) + 1


def _too_deep(node: yaml.Node | yaml.Event) -> _Refused:
    return _Refused(_line(node), f"is nested more than {DEEPEST} deep", "write it flatter")


def _unknown_tag(node: yaml.Node) -> _Refused:
    tag = node.tag.replace(_CORE, "!!")
    if tag == "!!value":
        return _Refused(_line(node), "a plain `=` has no meaning", "put quotes around it")
    return _Refused(_line(node), f"the tag {tag!r:.60} is not known here", "take it out")


def _refused(error: yaml.YAMLError, text: str) -> _Refused:
    """Return PyYAML's error as _Refused, with the line to look at and what to do there."""
    if not isinstance(error, yaml.MarkedYAMLError):  # a character that YAML does not allow
        position = getattr(error, "position", 0)
        line = text.encode()[:position].count(b"\n") + 1
        return _Refused(line, str(getattr(error, "reason", error)), "take the character out")
    problem = str(error.problem)
    fix, at_its_beginning = next((found for part, found in _FIXES.items() if part in problem), ("", False))
    mark = error.context_mark if at_its_beginning and error.context_mark else error.problem_mark
    line = mark.line + 1 if mark else 1
    if "mapping values are not allowed" in problem:
        line = _line_without_colon(text.split("\n"), line)
    return _Refused(line, problem, fix)


def _line_without_colon(lines: list[str], line: int) -> int:
    """Return the line where a colon is missing: the previous line, unless that has one and this line has two."""
    before = next((k for k in range(line - 1, 0, -1) if lines[k - 1].strip()), line)
    text = lines[before - 1].partition(" #")[0].strip()
    return line if ": " in text or text.endswith(":") or text.startswith("#") else before


def _int(text: str) -> int:
    sign, digits = (-1 if text.startswith("-") else 1), text.replace("_", "")
    digits = digits[1:] if digits[:1] in ("+", "-") else digits
    base = {"0b": 2, "0o": 8, "0x": 16}.get(digits[:2])
    return sign * (int(digits[2:], base) if base else int(digits))


def _float(text: str) -> float:
    return float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))


def _timestamp(text: str) -> date | datetime:
    match = re.match(_TIMESTAMP, text, re.ASCII)
    if match is None:
        raise ValueError(text)
    year, month, day = map(int, match.group(1, 2, 3))
    hour, minute, second, fraction, zone, sign, hours, minutes = match.group(*range(4, 12))
    if hour is None:
        return date(year, month, day)
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)
    tzinfo = timezone(offset, zone) if zone else None
    moment = datetime(year, month, day, int(hour), int(minute), int(second), tzinfo=tzinfo)
    digits = (fraction or "").ljust(7, "0")
    return moment + timedelta(microseconds=int(digits[:6]) + (int(digits[6]) > 4))


# Tried in this order: tag, pattern of plain text with this tag, its possible first characters, text → value.
_TYPES: tuple[tuple[str, str, str | tuple[str, ...], Callable[[str], Any] | None], ...] = (
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)$", "tTfF", lambda text: ("false", "true").index(text.lower()) == 1),
    ("float", _FLOAT, "-+0123456789.", _float),
    ("int", r"[-+]?(?:0b[01_]+|0o?[0-7_]+|[0-9_]+|0x[0-9a-fA-F_]+)$", "-+0123456789", _int),
    ("merge", r"<<$", "<", None),
    ("null", r"(?:~|null|Null|NULL|)$", ("~", "n", "N", ""), lambda text: None),
    ("timestamp", _TIMESTAMP, "0123456789", _timestamp),
    ("value", r"=$", "=", None),
)
_SCALARS = {_CORE + name: make for name, _, _, make in _TYPES if make}


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # SafeLoader if libyaml is missing
    """PyYAML's parser with the plain scalars of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  # PyYAML's own way


for _name, _pattern, _first, _ in _TYPES:
    _Loader.add_implicit_resolver(_CORE + _name, re.compile(_pattern, re.ASCII), list(_first))

# A part of PyYAML's message → what to do, and whether to report the line where the construct begins.
_FIXES: dict[str, tuple[str, bool]] = {
    "could not find expected ':'": ("write `key: value`, with a colon and a blank", True),
    "mapping values are not": ("write a colon and a blank behind the key, or put quotes around text with ': '", False),
    "cannot start any token": ("indent by blanks, not by tabs, and put quotes around text that begins so", False),
    "expected ',' or ']'": ("close the bracket that is opened here", True),
    "expected ',' or '}'": ("close the brace that is opened here", True),
    "expected key": ("indent it as the lines above", False),
    "expected '-' indicator": ("indent it as the lines above", False),
    "node content": ("write a value, or close the bracket", False),
    "unexpected end of stream": ("close the quotes that are opened here", True),
    "another document": ("keep one document", False),
    "undefined alias": ("define it before, by &", False),
    "second occurrence": ("name each anchor once", False),
    "unknown directive": ("take the line out", False),
    "unexpected ':'": ("write a blank behind the colon, or put quotes around the text", False),
}
