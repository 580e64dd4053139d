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


def _advance_block(
    typing: Any, current: Any, voltage: Any, at: Any, rows: Any, row: Any,
    alpha: Any, beta: Any, gain: Any, threshold: Any, constant: Any,
) -> Any:  # fmt: skip
    """One step of the eight neurons at `at`; returns a bit for each that reached threshold.

    I <- beta I + rows[row ...],  V <- alpha V + gain I;  constants are read at `constant`.
    """
    floats = (current, voltage, rows, alpha, beta, gain, threshold)
    assert all(isinstance(a, types.Array) and a.dtype == types.float32 for a in floats)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def load(which: int, index: int) -> Any:
            return _load(context, builder, signature.args[which], args[which], args[index], _EIGHT)

        def store(value: Any, which: int) -> None:
            pointer = _pointer(context, builder, signature.args[which], args[which], args[2], _EIGHT)
            builder.store(value, pointer, align=4)

        i = builder.fadd(builder.fmul(load(6, 9), load(0, 2)), load(3, 4))
        v = builder.fadd(builder.fmul(load(5, 9), load(1, 2)), builder.fmul(load(7, 9), i))
        store(i, 0)
        store(v, 1)
        reached = builder.fcmp_ordered(">=", v, load(8, 9))
        return builder.zext(builder.bitcast(reached, ir.IntType(BLOCK)), _INDEX)

    return types.uint64(current, voltage, at, rows, row, alpha, beta, gain, threshold, constant), generate


def _adjoint_block(
    typing: Any, lambda_i: Any, lambda_v: Any, at: Any, pairs: Any, row: Any,
    alpha: Any, beta: Any, chi: Any, constant: Any, drive: Any, drive_at: Any,
) -> Any:  # fmt: skip
    """One reverse step of the adjoints of the eight neurons at `at`; writes their pairs at pairs[row ...].

    lambda_I <- d + (lambda_I - d) beta + chi (lambda_V - d),  lambda_V <- d + (lambda_V - d) alpha, with the drive
    d read at drive[drive_at ...]; where `drive` is None it is 0.
    """
    driven = isinstance(drive, types.Array)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def load(which: int, index: int) -> Any:
            return _load(context, builder, signature.args[which], args[which], args[index], _EIGHT)

        li, lv = load(0, 2), load(1, 2)
        d = load(9, 10) if driven else None
        if d is not None:
            li, lv = builder.fsub(li, d), builder.fsub(lv, d)
        li = builder.fadd(builder.fmul(li, load(6, 8)), builder.fmul(load(7, 8), lv))
        lv = builder.fmul(lv, load(5, 8))
        if d is not None:
            li, lv = builder.fadd(li, d), builder.fadd(lv, d)
        for value, which in ((li, 0), (lv, 1)):
            pointer = _pointer(context, builder, signature.args[which], args[which], args[2], _EIGHT)
            builder.store(value, pointer, align=4)
        order = [n for lane in range(BLOCK) for n in (lane, BLOCK + lane)]
        shuffle = ir.Constant(ir.VectorType(ir.IntType(32), 2 * BLOCK), order)
        both = builder.shuffle_vector(li, builder.fsub(li, lv), shuffle)
        builder.store(both, _pointer(context, builder, signature.args[3], args[3], args[4], both.type), align=4)
        return context.get_dummy_value()

    return types.void(lambda_i, lambda_v, at, pairs, row, alpha, beta, chi, constant, drive, drive_at), generate


zero_pair: Any = intrinsic(_zero_pair)
add_pair: Any = intrinsic(_add_pair)
store_pair: Any = intrinsic(_store_pair)
lowest_bit: Any = intrinsic(_lowest_bit)
advance_block: Any = intrinsic(_advance_block)
adjoint_block: Any = intrinsic(_adjoint_block)
