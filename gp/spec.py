"""What a user may write: frozen specs, unions chosen by `kind`, readable errors.

A spec is a pydantic class.  It refuses unknown keys and wrong types, and builds the object that it describes.  A union
of specs (`Annotated[A | B, OneOf()]`) is the registry of the choices: there is no second list.
"""

import difflib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import index
from typing import Annotated, Any, TypeVar, Union, get_args, overload

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    Tag,
    TypeAdapter,
    ValidationError,
)

FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class Fault:
    """One fault in the user's input, and what to do about it.

    `str(fault)` is one line, `source: path: why: fix`, without the parts that are empty.
    """

    path: str  # the keys that lead to the value, joined by dots: "model.kernel.nu"
    why: str  # what is wrong, and the value seen
    fix: str = ""  # what to do
    source: str = ""  # the file (with the line if known) or the environment variable

    def __str__(self) -> str:
        words = ": ".join(part for part in (self.source, self.path, self.why, self.fix) if part)
        return visible(words).replace("\n", "\\n")


HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")  # Unicode's categories of characters that are not seen


def visible(text: str) -> str:
    """Return text in which each character that would not be seen as itself is written as its code.

    These are controls, marks that turn the direction of writing, and separators of lines: by them a name could look
    like another one, or colour a terminal.  Tabs and ends of lines stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        letter if letter in "\n\t" or unicodedata.category(letter) not in HIDDEN else _code(letter) for letter in text
    )


def _code(letter: str) -> str:
    return f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else f"\\U{ord(letter):08x}"


def whole(name: str, value: Any, least: int) -> int:
    """Return an argument that must be a whole number, `least` or more; raises InputError for any other."""
    try:
        number = -1 if isinstance(value, bool) else index(value)
    except TypeError:
        number = -1
    if number < least:
        raise InputError(
            Fault("", f"{name} is {repr(value)[:40]}".replace("\n", " "), f"give a whole number, {least} or more")
        )
    return number


class InputError(ValueError):
    """The user's input has one or more faults; each is a line of the message."""

    def __init__(self, faults: str | Fault | Sequence[str | Fault]) -> None:
        given = [faults] if isinstance(faults, str | Fault) else faults
        self.faults = [Fault("", fault) if isinstance(fault, str) else fault for fault in given]
        super().__init__("\n".join(self.messages))

    @property
    def messages(self) -> list[str]:
        """Return each fault's line."""
        return [str(fault) for fault in self.faults]

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how to pickle it with its faults: an error in a worker process is raised again in this one."""
        return type(self), (self.faults,)


class Spec(BaseModel):
    """Base of everything a user may choose: frozen, strict, unknown keys refused."""

    # Strict: otherwise `true` would be 1 and "7" would be 7.  An int is still accepted as a float.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def to_dict(self) -> dict[str, Any]:
        """Return what the user wrote, as mappings, lists and scalars, without keys left at their defaults."""
        return self.model_dump(exclude_unset=True)


S = TypeVar("S", bound=Spec)


@dataclass(frozen=True)
class OneOf:
    """Makes `Annotated[A | B, OneOf()]` the type of a section that is an A or a B, chosen by its `kind`.

    If no kind is written, the kind is `default`.
    """

    default: str | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        """Return the schema of the union `source`; the member is chosen by `kind`, then validated."""
        known = {kind_of(cls): cls for cls in _members(source)}
        members = tuple(Annotated[cls, Tag(tag_of(cls))] for cls in known.values())
        # A choice needs two members; the second here is unreachable, and keeps pydantic's choice and messages.
        union = Union[members] if len(members) > 1 else Union[(*members, Annotated[None, Tag("")])]  # noqa: UP007

        def choose(value: Any) -> str | None:
            if isinstance(value, Spec):
                return tag_of(type(value))
            if not isinstance(value, Mapping):
                return None
            kind = value.get("kind", self.default)
            return tag_of(known[kind]) if isinstance(kind, str) and kind in known else repr(kind)

        # pydantic's `Field(discriminator="kind")` refuses `{}`; here `{}` is of the default kind.
        return handler.generate_schema(Annotated[union, Discriminator(choose)])


def kinds(union: Any) -> dict[str, type[Spec]]:
    """Return the registry behind an annotated union: kind → class."""
    return {kind_of(cls): cls for cls in _members(get_args(union)[0])}


def _members(union: Any) -> tuple[type[Spec], ...]:
    """Return the classes of a union, or the class itself if there is only one."""
    return get_args(union) or (union,)


def kind_of(cls: type[Spec]) -> str:
    """Return the `kind` that chooses `cls`: the only value that its field `kind` may have."""
    (kind,) = get_args(cls.model_fields["kind"].annotation)
    return str(kind)


@overload
def parse(kind: type[S], value: Any, where: str = "") -> S: ...
@overload
def parse(kind: Any, value: Any, where: str = "") -> Any: ...
def parse(kind: Any, value: Any, where: str = "") -> Any:
    """Return `value` (mappings, lists, scalars) as the spec class or union `kind`.

    Raises InputError with all faults, each with its path below `where`.
    """
    try:
        return _adapter(kind).validate_python(value)
    except ValidationError as error:
        raise InputError([_fault_of(fault, kind, value, where) for fault in error.errors()]) from None


@lru_cache(maxsize=64)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    # Cached, because making the one of a union takes a millisecond.
    return TypeAdapter(kind)


def tag_of(cls: type) -> str:
    """Return the tag of a class in a union, which no message shows."""
    return f"<{cls.__module__}.{cls.__qualname__}>"


def _fault_of(found: Any, kind: Any, value: Any, where: str) -> Fault:
    """Return as a Fault what pydantic found wrong when it read `value` as a `kind`."""
    path, seen = [where] if where else [], value
    for step in found["loc"]:
        if str(step).startswith("<") or step == "[key]":  # a tag of a union or of pydantic, not a user's key
            continue
        inside = isinstance(seen, Mapping | list) and not isinstance(seen, str)
        if not inside:  # a key that the user did not write: a spec's shorthand added it
            break
        path.append(str(step))
        seen = seen.get(step) if isinstance(seen, Mapping) else seen[step] if isinstance(step, int) else seen
    if found["type"] == "union_tag_invalid":
        path.append("kind")
    return Fault(".".join(path), *_explain(found, kind))


def _explain(found: Any, kind: Any) -> tuple[str, str]:
    """Return what is wrong and what to do, in this project's words."""
    context, seen, what = found.get("ctx", {}), found["input"], found["type"]
    got = _shorten(seen)
    match what:
        case "extra_forbidden":
            cls = _class_at(kind, found["loc"][:-1])
            known, fix = suggest(str(found["loc"][-1]), list(cls.model_fields) if cls else [])
            return f"unknown key{known}", fix
        case "missing":
            return "is required and was not given", ""
        case "union_tag_invalid":
            # No kind was named, and there is no default.
            wrong = "is required" if context["tag"] == "None" else f"{context['tag']} is no kind known here"
            tags = [tag.strip("' ") for tag in context["expected_tags"].split(", ")]
            known, fix = suggest(context["tag"].strip("'"), [_kind_of_tag(tag) for tag in tags if tag])
            return wrong + known, fix
        case "union_tag_not_found":
            fix = f"write {{kind: {seen}}}" if isinstance(seen, str) and seen else ""
            return f"must be a mapping such as {{kind: …}} or {{}} (got {got})", fix
        case "model_type" | "model_attributes_type":
            cls = _class_at(kind, found["loc"])
            keys = f" of {', '.join(cls.model_fields)}{', or {}' if _has_defaults(cls) else ''}" if cls else ""
            return f"must be a mapping{keys} (got {got})", ""
        case "int_type" | "float_type" | "finite_number":
            number = "a whole number" if what == "int_type" else "a finite number"
            whole = isinstance(seen, float) and seen.is_integer()
            return f"must be {number} (got {got})", f"write {int(seen)}" if whole else ""
        case "string_type":
            return f"must be text (got {got})", "put quotes around it if it is a name"
        case "string_pattern_mismatch":
            return f"does not match {context['pattern']} (got {got})", "choose another name"
        case "value_error" if isinstance(context["error"], InputError):  # raised by a spec's own validator
            own = context["error"].faults[0]
            return own.why, own.fix
        case "value_error":
            return str(context["error"]), ""
        case _ if what in _RULES:
            return f"{_RULES[what].format(**context)} (got {got})", ""
        case _:
            return f"{found['msg'][0].lower()}{found['msg'][1:]} (got {got})", ""


# pydantic's type of fault → this project's words; braces hold numbers from pydantic's context.
_RULES = {
    "dict_type": "must be a mapping such as {{name: …}}",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "too_short": "must not be shorter than {min_length}",
    "too_long": "must not be longer than {max_length}",
    "literal_error": "must be {expected}",
}


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def suggest(word: str, known: Sequence[str]) -> tuple[str, str]:
    """Return the text ` (known: …)` that lists `known`, and a fix that asks whether a similar word was meant."""
    close = difflib.get_close_matches(word, known, n=1)
    return f" (known: {', '.join(known)})" if known else "", f"did you mean {close[0]}?" if close else ""


def _subclasses(cls: type[Spec] = Spec) -> list[type[Spec]]:
    return [sub for child in cls.__subclasses__() for sub in [child, *_subclasses(child)]]


def _kind_of_tag(tag: str) -> str:
    return next(kind_of(cls) for cls in _subclasses() if tag_of(cls) == tag)


def _class_at(kind: Any, loc: Sequence[Any]) -> type[Spec] | None:
    """Return the class at `loc`, found by following a fault's location through the specs."""
    classes, here = {tag_of(cls): cls for cls in _subclasses()}, _spec_in(kind)
    for step in loc:
        if step in classes:
            here = classes[step]
        elif here and step in here.model_fields:
            here = _spec_in(here.model_fields[step].annotation)
    return here


def _has_defaults(cls: type[Spec]) -> bool:
    """Return whether {} is a value of the class."""
    try:
        cls()
    except (ValidationError, InputError):
        return False
    return True


def _spec_in(annotation: Any) -> type[Spec] | None:
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        return annotation
    return next((found for part in get_args(annotation) if (found := _spec_in(part))), None)
