"""An answer has the shape it must have, or is described well enough to be corrected."""

import pytest
from pydantic import BaseModel, Field, field_validator

from workbench.agents.correction import correction
from workbench.errors import UserError
from workbench.schemas import AnswerSchema

SCHEMA = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer", "minimum": 1}}}


class Report(BaseModel):
    title: str
    score: float = Field(ge=0, le=1)

    @field_validator("title")
    @classmethod
    def not_empty(cls, title: str) -> str:
        if not title:
            raise ValueError("a title has letters")
        return title


@pytest.mark.parametrize("schema", [{"type": "nope"}, "a string", 3, {"properties": 1}])
def test_what_is_no_schema_is_refused_at_once(schema):
    with pytest.raises(UserError):
        AnswerSchema(schema)


def test_a_good_answer_passes_and_keeps_its_order():
    checked = AnswerSchema(SCHEMA).check({"z": 1, "n": 2})
    assert (list(checked.value), checked.problems) == (["z", "n"], ())


def test_each_violation_names_its_place():
    checked = AnswerSchema(SCHEMA).check({"n": "three"})
    assert checked.problems == ("/n: 'three' is not of type 'integer'",)


def test_tuples_count_as_arrays():
    assert AnswerSchema({"type": "array"}).check((1, (2,))).value == [1, [2]]


def test_a_pydantic_class_gives_an_instance_back():
    schema = AnswerSchema(Report)
    checked = schema.check({"title": "a", "score": 1})
    assert schema.convert(checked.value) == Report(title="a", score=1.0)


def test_a_pydantic_class_checks_what_no_json_schema_can():
    (problem,) = AnswerSchema(Report).check({"title": "", "score": 0}).problems
    assert problem == "/title: Value error, a title has letters"


def test_a_correction_says_what_is_wrong_what_is_required_and_what_was_given():
    text = correction(("/n: too small",), SCHEMA, {"n": 0})
    assert "/n: too small" in text
    assert "Required: n" in text
    assert '"n": 0' in text


def test_a_correction_of_a_huge_answer_is_short():
    assert len(correction(("/: bad",), SCHEMA, "x" * 10**6)) < 5000
