"""The form of a flow, taken from the model of its request."""

import inspect
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, ParamSpec, TypeVar
from uuid import UUID

from pydantic import BaseModel, Field

# Browsers round numbers beyond 2^53, so the form has a field for text; programs may send a number.
_AS_TEXT = frozenset({"seed"})
_Digits = Annotated[str, Field(pattern=r"^[0-9]{1,20}$")]

P = ParamSpec("P")
R = TypeVar("R")


def form_of(
    model: type[BaseModel],
    **more: str,
) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]:
    """Give a flow function the fields of a model as its keyword parameters.

    Prefect makes the form in its UI, the check of parameters and `prefect deployment run -p`
    from a function's signature and its docstring. With this decorator they follow the request
    model: a new field appears in all of them. `more` are the names and descriptions of further
    ids that the flow takes; they default to None.
    """

    def decorate(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
        parameters = [_parameter(name, field) for name, field in model.model_fields.items()]
        parameters += [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=UUID | None
            )
            for name in more
        ]
        function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # functions accept it
        described = {name: field.description for name, field in model.model_fields.items()} | more
        lines = [f"    {name}: {text}" for name, text in described.items()]
        function.__doc__ = "\n".join([inspect.getdoc(function) or "", "", "Args:", *lines])
        return function

    return decorate


def _parameter(name: str, field: Any) -> inspect.Parameter:  # pydantic's FieldInfo
    default = (
        inspect.Parameter.empty
        if field.is_required()
        else field.get_default(call_default_factory=True)
    )
    annotation: Any = Annotated[field.annotation, *field.metadata, Field()]
    if name in _AS_TEXT:
        annotation = Annotated[_Digits | field.annotation, *field.metadata, Field()]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )
