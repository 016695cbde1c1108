"""The form of a flow, taken from the model of what it is asked for."""

import inspect
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, ParamSpec, TypeVar
from uuid import UUID

from pydantic import BaseModel, Field

P = ParamSpec("P")
R = TypeVar("R")


def form_of(
    model: type[BaseModel],
    **more: str,
) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]:
    """Give a flow function the fields of a model as its keyword parameters.

    Prefect makes the form in its UI, the check of what comes in and `prefect deployment
    run -p` from a function's signature and its docstring. With this one they follow the
    request model: a new field appears in all of them. `more` are ids the flow takes besides,
    name and description; they default to None.
    """

    def dress(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
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

    return dress


def _parameter(name: str, field: Any) -> inspect.Parameter:  # pydantic's FieldInfo
    default = (
        inspect.Parameter.empty
        if field.is_required()
        else field.get_default(call_default_factory=True)
    )
    annotation = Annotated[field.annotation, *field.metadata, Field()]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )
