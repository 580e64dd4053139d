"""Eight neurons at a time: the few vector operations that LLVM does not find by itself in the kernels.

Neurons lie in blocks of eight (`layout`), so a block's state is one vector register. Adjoints are kept as
interleaved pairs (lambda_I, lambda_I - lambda_V), because every read of one is a read of the other: one load of 8
bytes and one addition serve both, which makes the gradient pass twice as fast as with two arrays. LLVM compiles all
of it to whatever vector unit the machine has; the order of additions, and so the result, does not depend on it.
"""

from __future__ import annotations

from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

BLOCK = 8
"""Neurons in a block."""

_FLOAT = ir.FloatType()
_PAIR = ir.VectorType(_FLOAT, 2)
_EIGHT = ir.VectorType(_FLOAT, BLOCK)
_INDEX = ir.IntType(64)


class Pair(types.Type):
    """Two float32 in one register, inside kernels only."""


_pair_type: Any = cast(Any, Pair)(name="Pair")


@register_model(Pair)
class _PairModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _PAIR)  # type: ignore[no-untyped-call]


def _pointer(context: Any, builder: Any, kind: Any, array: Any, index: Any, vector: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())


def _load(context: Any, builder: Any, kind: Any, array: Any, index: Any, vector: Any) -> Any:
    return builder.load(_pointer(context, builder, kind, array, index, vector), align=4)


def _zero_pair(typing: Any) -> Any:
    """zero_pair() -> (0, 0)."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(_PAIR, [0.0, 0.0])

    return _pair_type(), generate


def _add_pair(typing: Any, total: Any, array: Any, index: Any) -> Any:
    """add_pair(total, array, index) -> total + array[index : index + 2]."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fadd(args[0], _load(context, builder, signature.args[1], args[1], args[2], _PAIR))

    return _pair_type(total, array, index), generate


def _store_pair(typing: Any, total: Any, array: Any, index: Any) -> Any:
    """store_pair(total, array, index): array[index : index + 2] += total."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[1], args[1], args[2], _PAIR)
        builder.store(builder.fadd(builder.load(pointer, align=4), args[0]), pointer, align=4)
        return context.get_dummy_value()

    return types.void(total, array, index), generate


def _lowest_bit(typing: Any, mask: Any) -> Any:
    """lowest_bit(mask) -> position of the lowest set bit of a uint64 that is not 0."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(mask), generate


def _advance(
    typing: Any, current: Any, voltage: Any, at: Any, rows: Any, row: Any, steps: Any,
    alpha: Any, beta: Any, gain: Any, threshold: Any, constant: Any,
) -> Any:  # fmt: skip
    """Steps of the eight neurons at `at` until one reaches threshold, `steps` (> 0) of them at most; returns how many.

    I <- beta I + rows[row ...],  V <- alpha V + gain I;  `row` rises by 8 a step, constants are read at `constant`. The
    state stays in registers between the steps.
    """
    floats = (current, voltage, rows, alpha, beta, gain, threshold)
    assert all(isinstance(a, types.Array) and a.dtype == types.float32 for a in floats)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def place(which: int, index: int) -> Any:
            return _pointer(context, builder, signature.args[which], args[which], args[index], _EIGHT)

        a, b, g, theta = (builder.load(place(which, 10), align=4) for which in (6, 7, 8, 9))
        arrivals = place(3, 4)
        one = ir.Constant(_INDEX, 1)
        entry, loop, done = builder.block, *(builder.append_basic_block(name) for name in ("advance", "advanced"))
        first = [builder.load(place(which, 2), align=4) for which in (0, 1)]
        builder.branch(loop)
        builder.position_at_end(loop)
        step, i, v = builder.phi(_INDEX), builder.phi(_EIGHT), builder.phi(_EIGHT)
        new_i = builder.fadd(builder.fmul(b, i), builder.load(builder.gep(arrivals, [step]), align=4))
        new_v = builder.fadd(builder.fmul(a, v), builder.fmul(g, new_i))
        reached = builder.bitcast(builder.fcmp_ordered(">=", new_v, theta), ir.IntType(BLOCK))
        count = builder.add(step, one)
        silent = builder.icmp_unsigned("==", reached, ir.Constant(ir.IntType(BLOCK), 0))
        more = builder.icmp_unsigned("<", count, args[5])
        for phi, start, value in ((step, ir.Constant(_INDEX, 0), count), (i, first[0], new_i), (v, first[1], new_v)):
            phi.add_incoming(start, entry)
            phi.add_incoming(value, loop)
        builder.cbranch(builder.and_(silent, more), loop, done)
        builder.position_at_end(done)
        builder.store(new_i, place(0, 2), align=4)
        builder.store(new_v, place(1, 2), align=4)
        return count

    return types.uint64(current, voltage, at, rows, row, steps, alpha, beta, gain, threshold, constant), generate


def _reached(typing: Any, voltage: Any, at: Any, threshold: Any, constant: Any) -> Any:
    """reached(voltage, at, threshold, constant) -> a bit for each of the eight neurons that is at threshold."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        v, theta = (_load(context, builder, signature.args[w], args[w], args[w + 1], _EIGHT) for w in (0, 2))
        return builder.zext(builder.bitcast(builder.fcmp_ordered(">=", v, theta), ir.IntType(BLOCK)), _INDEX)

    return types.uint64(voltage, at, threshold, constant), generate


def _retreat(
    typing: Any, lambda_i: Any, lambda_v: Any, at: Any, pairs: Any, row: Any, steps: Any,
    alpha: Any, beta: Any, chi: Any, constant: Any, drive: Any, drive_at: Any,
) -> Any:  # fmt: skip
    """`steps` (> 0) reverse steps of the adjoints of the eight neurons at `at`; writes their pairs at pairs[row ...].

    lambda_I <- d + (lambda_I - d) beta + chi (lambda_V - d),  lambda_V <- d + (lambda_V - d) alpha, with the drive
    d read at drive[drive_at ...]; where `drive` is None it is 0. `row` falls by 16 a step, `drive_at` by 8. The state
    stays in registers between the steps.
    """
    driven = isinstance(drive, types.Array)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def place(which: int, index: int, vector: Any = _EIGHT) -> Any:
            return _pointer(context, builder, signature.args[which], args[which], args[index], vector)

        order = [n for lane in range(BLOCK) for n in (lane, BLOCK + lane)]
        shuffle = ir.Constant(ir.VectorType(ir.IntType(32), 2 * BLOCK), order)
        a, b, c = (builder.load(place(which, 9), align=4) for which in (6, 7, 8))
        out = place(3, 4, ir.VectorType(_FLOAT, 2 * BLOCK))
        push = place(10, 11) if driven else None
        entry, loop, done = builder.block, *(builder.append_basic_block(name) for name in ("retreat", "retreated"))
        first = [builder.load(place(which, 2), align=4) for which in (0, 1)]
        builder.branch(loop)
        builder.position_at_end(loop)
        step, li, lv = builder.phi(_INDEX), builder.phi(_EIGHT), builder.phi(_EIGHT)
        below = builder.neg(step)
        d = builder.load(builder.gep(push, [below]), align=4) if push is not None else None
        new_i, new_v = (li, lv) if d is None else (builder.fsub(li, d), builder.fsub(lv, d))
        new_i = builder.fadd(builder.fmul(new_i, b), builder.fmul(c, new_v))
        new_v = builder.fmul(new_v, a)
        if d is not None:
            new_i, new_v = builder.fadd(new_i, d), builder.fadd(new_v, d)
        both = builder.shuffle_vector(new_i, builder.fsub(new_i, new_v), shuffle)
        builder.store(both, builder.gep(out, [below]), align=4)
        count = builder.add(step, ir.Constant(_INDEX, 1))
        for phi, start, value in ((step, ir.Constant(_INDEX, 0), count), (li, first[0], new_i), (lv, first[1], new_v)):
            phi.add_incoming(start, entry)
            phi.add_incoming(value, loop)
        builder.cbranch(builder.icmp_unsigned("<", count, args[5]), loop, done)
        builder.position_at_end(done)
        builder.store(new_i, place(0, 2), align=4)
        builder.store(new_v, place(1, 2), align=4)
        return context.get_dummy_value()

    return types.void(lambda_i, lambda_v, at, pairs, row, steps, alpha, beta, chi, constant, drive, drive_at), generate


zero_pair: Any = intrinsic(_zero_pair)
add_pair: Any = intrinsic(_add_pair)
store_pair: Any = intrinsic(_store_pair)
lowest_bit: Any = intrinsic(_lowest_bit)
advance: Any = intrinsic(_advance)
reached: Any = intrinsic(_reached)
retreat: Any = intrinsic(_retreat)
