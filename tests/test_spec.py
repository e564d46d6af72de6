"""Specs: what a user may write is read as it stands or refused in one readable line."""

import pickle
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError, model_validator

from gp.spec import Count, Fault, FiniteFloat, InputError, OneOf, PositiveFloat, Spec, kind_of, kinds, parse


class Hen(Spec):
    kind: Literal["hen"] = "hen"
    eggs: Count = 1
    weight: PositiveFloat = 2.0
    loud: bool = False


class Crate(Spec):
    kind: Literal["crate"] = "crate"
    name: str
    sizes: list[FiniteFloat] | None = None
    full: Annotated[float, Field(ge=0, le=1)] = 0.0
    lid: Literal["open", "shut"] = "shut"

    @model_validator(mode="after")
    def _check(self) -> "Crate":
        if self.lid == "open" and self.full == 1:
            raise InputError(Fault("", "is full and open", "shut the lid"))
        if self.name == "none":
            raise ValueError("is called none")
        return self


Thing = Annotated[Hen | Crate, OneOf(default="hen")]
Named = Annotated[Hen | Crate, OneOf()]
Only = Annotated[Hen, OneOf(default="hen")]


class Farm(Spec):
    thing: Thing
    spare: Thing = Hen()


FAULTS = {
    "a wrong type": ({"eggs": 1.5}, "thing.eggs: must be a whole number (got 1.5)"),
    "true for a count": ({"eggs": True}, "thing.eggs: must be a whole number (got True)"),
    "text for a number": ({"weight": "7"}, "thing.weight: must be a finite number (got '7')"),
    "infinity": ({"weight": float("inf")}, "thing.weight: must be a finite number (got inf)"),
    "too small": ({"weight": -1}, "thing.weight: must be greater than 0 (got -1)"),
    "below a count": ({"eggs": 0}, "thing.eggs: must be at least 1 (got 0)"),
    "too large": ({"kind": "crate", "name": "a", "full": 2}, "thing.full: must be at most 1 (got 2)"),
    "a number for true": ({"loud": 1}, "thing.loud: must be true or false (got 1)"),
    "an unknown key": ({"egs": 1}, "thing.egs: unknown key (known: kind, eggs, weight, loud): did you mean eggs?"),
    "an unknown kind": (
        {"kind": "henn"},
        "thing.kind: 'henn' is no kind known here (known: hen, crate): did you mean hen?",
    ),
    "a kind that is no text": ({"kind": 3}, "thing.kind: 3 is no kind known here (known: hen, crate)"),
    "no mapping": (7, "thing: must be a mapping such as {kind: …} or {} (got 7)"),
    "nothing": (None, "thing: must be a mapping such as {kind: …} or {} (got None)"),
    "a key left out": ({"kind": "crate"}, "thing.name: is required and was not given"),
    "a number for text": (
        {"kind": "crate", "name": 3},
        "thing.name: must be text (got 3): put quotes around it if it is a name",
    ),
    "no list": ({"kind": "crate", "name": "a", "sizes": 3}, "thing.sizes: must be a list (got 3)"),
    "within a list": (
        {"kind": "crate", "name": "a", "sizes": [1, "b"]},
        "thing.sizes.1: must be a finite number (got 'b')",
    ),
    "none of the choices": (
        {"kind": "crate", "name": "a", "lid": "ajar"},
        "thing.lid: must be 'open' or 'shut' (got 'ajar')",
    ),
    "a rule of its own, by Python's error": ({"kind": "crate", "name": "none"}, "thing: is called none"),
    "a rule of its own": (
        {"kind": "crate", "name": "a", "lid": "open", "full": 1},
        "thing: is full and open: shut the lid",
    ),
}


@pytest.mark.parametrize(("value", "message"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_one_line_that_names_the_place_and_the_value(value, message):
    with pytest.raises(InputError) as refused:
        parse(Farm, {"thing": value}, where="farms.mine")
    assert refused.value.messages == [f"farms.mine.{message}"]


def test_all_faults_are_told_at_once():
    with pytest.raises(InputError) as refused:
        parse(Farm, {"thing": {"eggs": 0, "weight": 0}, "spare": {"loud": "no"}})
    assert [message.split(":")[0] for message in refused.value.messages] == ["thing.eggs", "thing.weight", "spare.loud"]
    assert str(refused.value) == "\n".join(refused.value.messages)


def test_a_fault_has_its_path_what_is_wrong_and_what_to_do():
    with pytest.raises(InputError) as refused:
        parse(Farm, {"thing": {"egs": 1}}, where="farms.mine")
    why = "unknown key (known: kind, eggs, weight, loud)"
    assert refused.value.faults == [Fault("farms.mine.thing.egs", why, "did you mean eggs?")]


def test_a_fault_of_a_specs_own_rule_keeps_what_to_do():
    with pytest.raises(InputError) as refused:
        parse(Crate, {"name": "a", "lid": "open", "full": 1}, where="crate")
    assert refused.value.faults == [Fault("crate", "is full and open", "shut the lid")]


def test_a_bare_name_for_a_section_is_shown_as_a_kind():
    with pytest.raises(InputError, match=r"^thing: must be a mapping .* \(got 'hen'\): write \{kind: hen\}$"):
        parse(Farm, {"thing": "hen"})


def test_faults_cross_processes():
    error = InputError([Fault("a.b", "is wrong", "correct it", source="params.yaml"), "another"])
    again = pickle.loads(pickle.dumps(error))
    assert again.faults == error.faults
    assert str(again) == str(error) == "params.yaml: a.b: is wrong: correct it\nanother"


def test_an_empty_mapping_is_the_default_kind_with_its_defaults():
    assert parse(Farm, {"thing": {}}).thing == Hen()


def test_a_kind_chooses_its_class():
    assert parse(Farm, {"thing": {"kind": "crate", "name": "a"}}).thing == Crate(name="a")


def test_an_int_is_taken_for_a_float():
    assert parse(Thing, {"weight": 3}).weight == 3.0


def test_a_spec_is_taken_as_it_is():
    assert parse(Farm, {"thing": Crate(name="a")}).thing == Crate(name="a")


def test_a_union_is_its_registry():
    assert kinds(Thing) == {"hen": Hen, "crate": Crate}
    assert kind_of(Crate) == "crate"


def test_a_union_of_one_class_is_a_registry_too():
    assert kinds(Only) == {"hen": Hen}
    assert parse(Only, {"eggs": 3}) == Hen(eggs=3)
    with pytest.raises(InputError, match=r"^one.kind: 'crate' is no kind known here \(known: hen\)$"):
        parse(Only, {"kind": "crate"}, where="one")


def test_without_a_default_the_kind_is_required():
    with pytest.raises(InputError, match=r"^one.kind: is required \(known: hen, crate\)$"):
        parse(Named, {}, where="one")


def test_a_spec_gives_back_what_was_written():
    written = {"thing": {"kind": "crate", "name": "a", "sizes": [1.0, 2.5]}}
    assert parse(Farm, written).to_dict() == written


def test_a_spec_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Hen().eggs = 2
