"""Format: the keys that say how a text table is written, where that is not the usual way."""

import codecs
import math
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from ...spec import Fault, InputError, Spec
from .dates import DateFormat
from .names import Column

BLANKS = " \u00a0\u202f"  # that look the same between digits: of the keyboard, no-break, narrow no-break


class Format(Spec):
    """How a table is written.

    Lines: the first `skip_rows` and those that begin with `comment` are passed over; with `units_row`, so is the line
    below the header.  Cells: `separator` stands between them (" " for any number of blanks); `na_values` are missing
    values beside the usual words.  Numbers: `decimal` and `thousands`.  Dates: `date_format`, one for the columns that
    have it or a mapping column → format.  `encoding` is a codec of Python's; without it, UTF-8.
    """

    encoding: str | None = None
    skip_rows: Annotated[int, Field(ge=0)] = 0
    comment: str | None = None
    units_row: bool = False
    separator: str | None = None
    decimal: Literal[".", ","] = "."
    thousands: str | None = None
    na_values: list[str | float] = Field(default_factory=list)
    date_format: str | dict[Column, str] | None = None

    @field_validator("encoding")
    @classmethod
    def _check_encoding(cls, name: str) -> str:
        try:
            text = codecs.lookup(name)._is_text_encoding  # as open() asks
        except (LookupError, ValueError):
            text = False
        if not text:
            raise InputError(Fault("", f"is no encoding of text (got {name!r})", "write utf-16, cp1252 or latin-1"))
        return name

    @field_validator("comment")
    @classmethod
    def _check_comment(cls, text: str) -> str:
        if not text.strip() or "\n" in text or text.strip()[0] in "\"'" or text.strip()[0].isalnum():
            raise InputError(Fault("", f"begins no comment (got {text!r})", 'write the sign, as "#"'))
        return text.strip()

    @field_validator("separator")
    @classmethod
    def _check_separator(cls, text: str) -> str:
        if len(text) != 1 or text.isalnum() or text in "\"'.+-_\r\n\0":
            raise InputError(
                Fault("", f"is no separator (got {text!r})", 'write one sign, as ";", "\\t", or " " for blanks')
            )
        return text

    @field_validator("thousands")
    @classmethod
    def _check_thousands(cls, text: str) -> str:
        if text not in (",", ".", "'", "’", "_", *BLANKS):
            why = f"is no separator of thousands (got {text!r})"
            raise InputError(Fault("", why, 'write ",", ".", "\'", "_" or a blank'))
        return text

    @field_validator("na_values", mode="before")
    @classmethod
    def _check_na_values(cls, values: Any) -> Any:
        values = values if isinstance(values, list) else [values]
        for value in values:
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not isinstance(value, str) and not (number and math.isfinite(value)):
                raise InputError(
                    Fault("", f"must be texts and finite numbers (got {value!r})", 'write ["?", -999], words in quotes')
                )
        return values

    @field_validator("date_format", mode="before")
    @classmethod
    def _check_date_format(cls, value: Any) -> Any:
        formats = value if isinstance(value, dict) else {"": value}
        for text in formats.values():
            if not isinstance(text, str):
                why = f"must be a format, or a mapping column: format (got {value!r:.60})"
                raise InputError(Fault("", why, 'write "%d/%m/%Y"'))
            DateFormat(text)
        return value

    @model_validator(mode="after")
    def _check_signs(self) -> "Format":
        signs = {name: getattr(self, name) for name in ("decimal", "thousands", "separator")}
        if self.thousands == self.decimal:
            fix = 'write `decimal: ","` too' if self.thousands == "." else 'with `decimal: ","` write `thousands: "."`'
            raise InputError(Fault("", f"thousands and decimal are both {self.decimal!r}", fix))
        if self.separator and (twice := [name for name in ("decimal", "thousands") if signs[name] == self.separator]):
            why = f"separator and {twice[0]} are both {self.separator!r}"
            raise InputError(Fault("", why, "give each its own sign (a quoted cell may hold the separator's)"))
        if self.comment and self.separator and self.comment.startswith(self.separator):
            raise InputError(Fault("", f"comment {self.comment!r} begins with the separator", "give another"))
        return self

    @property
    def of_text(self) -> list[str]:
        """Return the keys written that only a text table has."""
        return [name for name in Format.model_fields if name in self.model_fields_set and name != "na_values"]

    def date_of(self, column: str) -> DateFormat | None:
        """Return the format that this column's dates must have, or those of any column may."""
        text = self.date_format.get(column) if isinstance(self.date_format, dict) else self.date_format
        return None if text is None else DateFormat(text)
