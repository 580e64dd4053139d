"""The base of every part of a recipe, and how a part that is not right is refused."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from toolchain.errors import RecipeError


class Section(BaseModel):
    """Base of every part of a recipe: immutable, unknown keys refused, no silent conversion of types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, populate_by_name=True)


def _one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, (int, str)) and not isinstance(value, bool) else value


Speakers = Annotated[list[int | str], Field(min_length=1), BeforeValidator(_one_or_more)]
"""One speaker or several, by number or, where the data know it, by name."""

S = TypeVar("S", bound=Section)


def check_section(section: type[S], data: Mapping[str, Any], origin: str, prefix: str = "") -> S:
    """Check plain data against a section; `prefix` is the place of the section in the recipe, with a dot.

    Raises
    ------
    RecipeError
        Naming every key that is unknown (with the nearest known one), missing, of a wrong type or out of range.
    """
    try:
        return section.model_validate(dict(data))
    except ValidationError as error:
        raise RecipeError(f"recipe {origin}: {'; '.join(_messages(error, section, prefix))}") from error


def _messages(error: ValidationError, root: type[Section], prefix: str) -> Iterator[str]:
    for problem in error.errors():
        where = prefix + ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            known = _known_keys(root, problem["loc"][:-1])
            yield f"unknown key {where!r}{nearest(str(problem['loc'][-1]), known)}"
        elif problem["type"] == "missing":
            yield f"key {where!r} is missing"
        elif problem["type"] == "value_error":
            text = str(problem["ctx"]["error"])
            yield f"{where}: {text}" if where else text
        else:
            yield f"{where}: {problem['msg'][0].lower()}{problem['msg'][1:]}, got {_shown(problem['input'])}"


def _shown(value: object) -> str:
    """A value on one line, cut where it is long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        return f"a {type(value).__name__} too large to print"
    return text if len(text) <= 60 else text[:57] + "..."


def _known_keys(root: type[Section], location: tuple[int | str, ...]) -> list[str]:
    """Keys that the section at a location below `root` has."""
    model: Any = root
    for part in location:
        if isinstance(part, int):
            continue
        fields = {(f.alias or name): f for name, f in model.model_fields.items()}
        if part in fields:
            model = _section_of(fields[str(part)].annotation) or model
    return [f.alias or name for name, f in model.model_fields.items()]


def _section_of(annotation: Any) -> Any:
    """The Section inside an annotation such as ``list[ProjectionRecipe]`` or ``Normal | None``."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _section_of(argument)
        if found:
            return found
    return None


def nearest(word: str, known: Sequence[str]) -> str:
    """End of a message about an unknown word: the nearest known one, or all of them."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"
