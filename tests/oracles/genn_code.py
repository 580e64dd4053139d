"""GeNN's language, without GeNN: a parser that knows its limits, and what runs a described model step by step.

The language is C99 without preprocessor, structures and addresses (GeNN's documentation, "GeNNCode"), so a parser of C
reads it. The order of a step is GeNN's: synapses work on what neurons said in the step before, then neurons are
updated. Scalars are Python's, float64: what is float32 on a device differs from it by rounding alone. Integers that do
not fit their type are an error. Where PyGeNN is installed, `tests/training/genn/test_installed.py` shows that GeNN does
the same.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from pycparser import c_ast
from pycparser.c_parser import CParser

from toolchain.training.backends.genn.description import NeuronModel, SynapseModel, UpdateModel

RANGES = {"int": (-(2**31), 2**31 - 1), **{f"uint{bits}_t": (0, 2**bits - 1) for bits in (8, 16, 32)}}
"""What integers hold. On a device they wrap around; no code of ours may depend on it."""
FUNCTIONS: dict[str, Callable[..., Any]] = {"min": min, "sqrt": math.sqrt, "rint": round}
"""Of GeNN's standard library, what is used."""
Names = dict[str, Any]
"""Values of what a snippet knows, and of its locals."""
Run = Callable[[Names, Names], Any]


def held(kind: str, value: Any) -> Any:
    """A value as a variable of a type holds it."""
    if kind == "scalar":
        return float(value)
    found, (low, high) = int(value), RANGES[kind]
    assert low <= found <= high, f"{value} does not fit {kind}"
    return found


class Code:
    """A snippet of statements, or of one expression.

    Parameters
    ----------
    text : GeNNCode
    known : names that it may read
    mutable : those of them that it may write
    calls : functions that it may call besides `FUNCTIONS`
    """

    def __init__(self, text: str, known: set[str], mutable: set[str], calls: set[str], *, expression: bool) -> None:
        # GeNN 5.4 scans `>>` as two signs.
        assert ">>" not in text, "GeNN does not parse >>"
        self._known, self._mutable, self._calls = known, mutable, calls
        self.locals: set[str] = set()
        self._constant: set[str] = set()
        self.read: set[str] = set()
        typedefs = "".join(f"typedef int {name};" for name in ("scalar", *RANGES) if name != "int")
        body = f"return {text};" if expression else text
        tree = CParser().parse(f"{typedefs} int f(void) {{ {body} }}")
        items = tree.ext[-1].body.block_items or []
        self.run: Run = self._block(items)

    def _block(self, items: list[Any]) -> Run:
        """Statements one after another."""
        each = [self._statement(item) for item in items]

        def run(state: Names, local: Names) -> None:
            for one in each:
                one(state, local)

        return run

    def _statement(self, item: Any) -> Run:
        if isinstance(item, c_ast.Compound):
            # What is declared inside is not known behind it.
            outside = set(self.locals)
            inside = self._block(item.block_items or [])
            self.locals = outside
            return inside
        if isinstance(item, c_ast.Decl):
            value, kind = self._value(item.init), str(item.type.type.names[0])
            name = str(item.name)
            assert name not in self.locals | self._known, f"{name} is declared twice"
            self.locals.add(name)
            (self._constant.add if "const" in item.quals else self._constant.discard)(name)
            return lambda s, n: n.update({name: held(kind, value(s, n))})
        if isinstance(item, c_ast.Assignment):
            return self._assignment(item)
        if isinstance(item, c_ast.If):
            condition, then = self._value(item.cond), self._statement(item.iftrue)
            other = self._block([]) if item.iffalse is None else self._statement(item.iffalse)
            return lambda s, n: then(s, n) if condition(s, n) else other(s, n)
        if isinstance(item, (c_ast.FuncCall, c_ast.Return)):
            result = self._value(item if isinstance(item, c_ast.FuncCall) else item.expr)
            return lambda s, n: n.update({"result": result(s, n)})
        raise AssertionError(f"statement of kind {type(item).__name__}")

    def _assignment(self, item: Any) -> Run:
        change, value = ASSIGNMENTS[item.op], self._value(item.rvalue)
        target = item.lvalue
        name = str(target.name.name if isinstance(target, c_ast.ArrayRef) else target.name)
        assert name in self._mutable | (self.locals - self._constant), f"{name} is written, and may not be"
        if isinstance(target, c_ast.ArrayRef):
            index = self._value(target.subscript)

            def into_array(s: Names, n: Names) -> None:
                at = _inside(index(s, n))
                s[name][at] = change(s[name][at], value(s, n))

            return into_array
        of_local = name in self.locals

        def into_name(s: Names, n: Names) -> None:
            names = n if of_local else s
            names[name] = change(names[name], value(s, n))

        return into_name

    def _value(self, node: Any) -> Callable[[Names, Names], Any]:
        if isinstance(node, c_ast.Constant):
            number = int(node.value.rstrip("u"))
            return lambda s, n: number
        if isinstance(node, c_ast.ID):
            name = str(node.name)
            if name in self.locals:
                return lambda s, n: n[name]
            assert name in self._known, f"{name} is not declared"
            self.read.add(name)
            return lambda s, n: s[name]
        if isinstance(node, c_ast.ArrayRef):
            array, index = self._value(node.name), self._value(node.subscript)
            return lambda s, n: array(s, n)[_inside(index(s, n))]
        if isinstance(node, c_ast.Cast):
            kind, inner = str(node.to_type.type.type.names[0]), self._value(node.expr)
            return lambda s, n: held(kind, inner(s, n))
        if isinstance(node, c_ast.TernaryOp):
            condition, then, other = (self._value(part) for part in (node.cond, node.iftrue, node.iffalse))
            return lambda s, n: then(s, n) if condition(s, n) else other(s, n)
        if isinstance(node, c_ast.UnaryOp):
            assert node.op in ("-", "!"), f"operator {node.op}: GeNN knows no addresses"
            inner = self._value(node.expr)
            return (lambda s, n: -inner(s, n)) if node.op == "-" else (lambda s, n: not inner(s, n))
        if isinstance(node, c_ast.BinaryOp):
            left, right = self._value(node.left), self._value(node.right)
            # What C does not look at is not looked at here either.
            if node.op == "&&":
                return lambda s, n: left(s, n) and right(s, n)
            if node.op == "||":
                return lambda s, n: left(s, n) or right(s, n)
            operation = OPERATIONS[node.op]
            return lambda s, n: operation(left(s, n), right(s, n))
        if isinstance(node, c_ast.FuncCall):
            name = str(node.name.name)
            assert name in self._calls or name in FUNCTIONS, f"function {name}"
            given, fixed = [self._value(argument) for argument in node.args.exprs], FUNCTIONS.get(name)
            return lambda s, n: (fixed or s[name])(*(argument(s, n) for argument in given))
        raise AssertionError(f"expression of kind {type(node).__name__}")


def _inside(index: int) -> int:
    assert isinstance(index, int), "an index is no integer"
    assert index >= 0, "an index is negative"
    return index


def _divided(a: Any, b: Any) -> Any:
    """As C does: where a negative integer is divided, Python rounds the other way."""
    if not (isinstance(a, int) and isinstance(b, int)):
        return a / b
    assert min(a, b) >= 0, "a negative integer is divided"
    return a // b


def _rest(a: int, b: int) -> int:
    assert min(a, b) >= 0, "a negative integer is divided"
    return a % b


OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divided,
    "%": _rest,
    "<<": operator.lshift,
    "&": operator.and_,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
ASSIGNMENTS: dict[str, Callable[[Any, Any], Any]] = {
    "=": lambda old, new: new,
    "+=": operator.add,
    "-=": operator.sub,
}


class NeuronCode:
    """The snippets of a kind of neuron, checked; locals of the step are visible in the other two, as in GeNN."""

    def __init__(self, model: NeuronModel) -> None:
        builtin = {"t", "Isyn", "id", "num_neurons", "batch"}
        shared = {v.name for v in model.variables if v.shared}
        own = {v.name for v in model.variables if not v.shared} | {a.name for a in model.arrays}
        constants = {name for name, _ in (*model.params, *model.dynamic)} | (
            {model.feedback} if model.feedback else set()
        )
        known = builtin | shared | own | constants
        self.step = Code(model.step, known, own, set(), expression=False)
        inner = known | self.step.locals
        self.spikes_if = (
            None if model.spikes_if is None else Code(model.spikes_if, inner, set(), set(), expression=True)
        )
        self.on_spike = Code(model.on_spike, inner, own, set(), expression=False)
        self.read = self.step.read | self.on_spike.read | (self.spikes_if.read if self.spikes_if else set())


class SynapseCode:
    """The snippets of a kind of synapse, checked."""

    def __init__(self, model: SynapseModel) -> None:
        shared = {v.name for v in model.variables if v.shared}
        own = {v.name for v in model.variables if not v.shared}
        targets = {name for name, _, _ in model.target_refs}
        sources = {name for name, _, _ in model.source_refs}
        send = {"addToPost", "addToPostDelay"}
        self.on_spike = Code(model.on_spike, shared, set(), send, expression=False)
        self.event_if = Code(model.event_if, sources, set(), set(), expression=True)
        self.on_event = Code(model.on_event, shared | own | targets, own, {"addToPre"}, expression=False)


class UpdateCode:
    """The statements of an update, checked."""

    def __init__(self, model: UpdateModel) -> None:
        own = {v.name for v in model.variables} | {name for name, _ in model.references}
        constants = {name for name, _ in (*model.params, *model.dynamic)}
        self.code = Code(model.code, own | constants, own, set(), expression=False)
