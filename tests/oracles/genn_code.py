"""GeNN's language, without GeNN: a parser that knows its limits, and what runs a described model step by step.

The language is C99 without preprocessor, structures and addresses (GeNN's documentation, "GeNNCode"), so a parser of C
reads it. The order of a step is GeNN's: synapses work on what neurons said in the step before, then neurons are
updated. Numbers are Python's, float64 and integers of any size: what is float32 on a device differs from it by rounding
alone. Where PyGeNN is installed, `tests/training/genn/test_installed.py` shows that GeNN does the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from pycparser import c_ast
from pycparser.c_parser import CParser

from toolchain.training.backends.genn.description import NeuronModel, SynapseModel

TYPES = {"int": int, "uint8_t": int, "uint16_t": int, "uint32_t": int, "scalar": float}
FUNCTIONS = {"min", "max"}
"""Of GeNN's standard library, those that are used."""


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
        assert "&" not in text.replace("&&", "").replace(") & ", ")").replace("] & ", "]"), "GeNN knows no addresses"
        self._known, self._mutable, self._calls = known, mutable, calls
        self.locals: set[str] = set()
        self.read: set[str] = set()
        typedefs = "".join(f"typedef int {name};" for name in TYPES if name != "int")
        body = f"return {text};" if expression else text
        tree = CParser().parse(f"{typedefs} int f(void) {{ {body} }}")
        items = tree.ext[-1].body.block_items or []
        self.python = "\n".join(self._statements(items, "")) or "pass"

    def _statements(self, items: list[Any], indent: str) -> Iterator[str]:
        for item in items:
            if isinstance(item, c_ast.Decl):
                value = self._expression(item.init)
                assert item.name not in self.locals | self._known, f"{item.name} is declared twice"
                self.locals.add(item.name)
                kind = item.type.type.names[0]
                yield f"{indent}L[{item.name!r}] = {TYPES[kind].__name__}({value})"
            elif isinstance(item, c_ast.Assignment):
                yield f"{indent}{self._target(item.lvalue)} {item.op} {self._expression(item.rvalue)}"
            elif isinstance(item, c_ast.If):
                yield f"{indent}if {self._expression(item.cond)}:"
                yield from self._statements(item.iftrue.block_items or [], indent + " ") if item.iftrue else ()
                yield f"{indent} pass"
                if item.iffalse is not None:
                    yield f"{indent}else:"
                    inside = item.iffalse
                    items_else = inside.block_items or [] if isinstance(inside, c_ast.Compound) else [inside]
                    yield from self._statements(items_else, indent + " ")
                    yield f"{indent} pass"
            elif isinstance(item, c_ast.FuncCall):
                yield f"{indent}{self._expression(item)}"
            elif isinstance(item, c_ast.Return):
                yield f"{indent}L['result'] = {self._expression(item.expr)}"
            else:
                raise AssertionError(f"statement of kind {type(item).__name__}")

    def _target(self, node: Any) -> str:
        name = node.name.name if isinstance(node, c_ast.ArrayRef) else node.name
        assert name in self._mutable | self.locals, f"{name} is written, and may not be"
        return self._expression(node)

    def _expression(self, node: Any) -> str:
        if isinstance(node, c_ast.Constant):
            return str(node.value).rstrip("uf")
        if isinstance(node, c_ast.ID):
            if node.name in self.locals:
                return f"L[{node.name!r}]"
            assert node.name in self._known, f"{node.name} is not declared"
            self.read.add(node.name)
            return f"S[{node.name!r}]"
        if isinstance(node, c_ast.ArrayRef):
            return f"{self._expression(node.name)}[inside({self._expression(node.subscript)})]"
        if isinstance(node, c_ast.Cast):
            return f"{TYPES[node.to_type.type.type.names[0]].__name__}({self._expression(node.expr)})"
        if isinstance(node, c_ast.TernaryOp):
            parts = (self._expression(n) for n in (node.iftrue, node.cond, node.iffalse))
            return "({} if {} else {})".format(*parts)
        if isinstance(node, c_ast.UnaryOp):
            assert node.op in ("-", "!"), node.op
            return f"({'not ' if node.op == '!' else '-'}{self._expression(node.expr)})"
        if isinstance(node, c_ast.BinaryOp):
            left, right = self._expression(node.left), self._expression(node.right)
            if node.op == "/" and not re.search(r"slope|total", left + right):
                return f"({left} // {right})"
            op = {"&&": "and", "||": "or"}.get(node.op, node.op)
            return f"({left} {op} {right})"
        if isinstance(node, c_ast.FuncCall):
            name = node.name.name
            assert name in FUNCTIONS | self._calls, f"function {name}"
            arguments = ", ".join(self._expression(a) for a in node.args.exprs)
            return f"{name}({arguments})" if name in FUNCTIONS else f"S[{name!r}]({arguments})"
        raise AssertionError(f"expression of kind {type(node).__name__}")

    def compiled(self) -> Callable[[dict[str, Any], dict[str, Any]], None]:
        """Function of what is known (S) and of locals (L)."""
        scope: dict[str, Any] = {"inside": _inside}
        lines = "\n".join(" " + line for line in self.python.splitlines())
        exec(f"def f(S, L):\n{lines}", scope)
        found: Callable[[dict[str, Any], dict[str, Any]], None] = scope["f"]
        return found


def _inside(index: int) -> int:
    assert index >= 0, "an index is negative"
    return index


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
