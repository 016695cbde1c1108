"""The nodes that calculate, so that sizes and lengths are what a workflow means them to be."""

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from anime.rehearsal.node_calls import NodeCall, NodeResult

MEGAPIXEL = 1024 * 1024
MOST_EXPRESSION_CHARS = 1_000
OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.USub: operator.neg,
    ast.Invert: operator.invert,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "ceil": math.ceil,
    "floor": math.floor,
    "int": int,
    "max": max,
    "min": min,
    "round": round,
    "sqrt": math.sqrt,
}


async def calculate(call: NodeCall) -> NodeResult:
    """The value of an expression as a number, a whole number, and whether it is not 0."""
    values = {name.removeprefix("values."): value for name, value in call.inputs.items()}
    value = evaluate(call.inputs["expression"], values)
    return NodeResult((float(value), int(value), bool(value)))


def evaluate(expression: str, values: Mapping[str, Any]) -> Any:  # a number or a truth value
    """The value of an expression in which letters stand for values.

    Raises:
        ValueError: it has something in it that is not known here.

    >>> evaluate("floor(a * b) + 1", {"a": 5, "b": 16.0})
    81
    """
    if len(expression) > MOST_EXPRESSION_CHARS:
        raise ValueError(f"an expression may have {MOST_EXPRESSION_CHARS} characters")
    return _value(ast.parse(expression.strip(), mode="eval").body, values)


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:  # a number or a truth value
    match node:
        case ast.Constant(value=bool() | int() | float() as number):
            return number
        case ast.Name(id=name) if name in values:
            return values[name]
        case ast.UnaryOp(op=sign, operand=operand) if type(sign) in OPERATORS:
            return OPERATORS[type(sign)](_value(operand, values))
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in OPERATORS:
            return OPERATORS[type(sign)](_value(left, values), _value(right, values))
        case ast.Compare(left=left, ops=[sign], comparators=[right]) if type(sign) in OPERATORS:
            return OPERATORS[type(sign)](_value(left, values), _value(right, values))
        case ast.Call(func=ast.Name(id=name), args=given, keywords=[]) if name in FUNCTIONS:
            return FUNCTIONS[name](*(_value(each, values) for each in given))
        case ast.IfExp(test=test, body=chosen, orelse=other):
            return _value(chosen if _value(test, values) else other, values)
    raise ValueError(f"the rehearsal server cannot calculate {ast.unparse(node)}")


async def choose_resolution(call: NodeCall) -> NodeResult:
    """Width and height of a ratio such as `16:9 (Widescreen)`, in whole multiples of pixels."""
    wide, high = map(float, re.findall(r"[\d.]+", call.inputs["aspect_ratio"])[:2])
    area, step = call.inputs["megapixels"] * MEGAPIXEL, call.inputs["multiple"]
    width, height = math.sqrt(area * wide / high), math.sqrt(area * high / wide)
    return NodeResult(tuple(max(1, round(side / step)) * step for side in (width, height)))
