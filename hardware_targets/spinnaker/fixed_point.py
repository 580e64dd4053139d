"""The arithmetic of sPyNNaker's ARM code: s16.15 (`accum`), u0.32 (`unsigned long fract`), and its two exponentials.

All of it floors and keeps the low 32 bits: nothing rounds, nothing saturates. Vectorised over neurons.

Exponentials. With x = n + f, n whole and 0 < f < 1, and 1 - f = j/16 + z, 0 <= z < 1/16:

    e^x = e^(n+1) (1 - T_j) (1 - Q(z)),     T_j = 1 - e^(-j/16),     Q(z) = c_0 + z (c_1 - c_2 z) for 1 - e^(-z)

in unsigned fixed point of 32 + 32 bits: e^(n+1) and T_j come from tables, every product is cut to 32 bits of fraction,
and the lower half of a product rounds up from a remainder of 0x7fffffff on, which for no argument makes a difference
to rounding to nearest. A whole x is the entry of the table itself. expk keeps bits 17..48 (s16.15, a floor), expulr
bits 0..31 (u0.32), so that expulr(0) is 0.

Source: `IF_curr_exp.aplx` of sPyNNaker 7.4.1, read from its disassembly: 0x650 division, 0x4cf4 the exponential, 0x4dd8
expk, 0x4e1c expulr. `tests/spinnaker` holds this module against that code, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, localcontext

import numpy as np
from numpy.typing import NDArray

from hardware_targets.spinnaker.integer_network import ONE, NeuronParameters
from toolchain.errors import NetworkError

I32 = NDArray[np.int32]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]

FRACTION_BITS = 15
LEAST_ARGUMENT, LARGEST_ARGUMENT = -340_695, 363_408
"""Arguments of the exponentials, s16.15, about -10.4 and 11.09: below the result is 0, above it is 0x7fffffff."""
LEAST_POWER, LARGEST_POWER = -13, 12
"""Whole powers of e in the table."""

_Q0, _Q1, _Q2 = 0x14AE, 0xFFE89D60, 0x7C130FE0
_ROUNDS_UP = 0x7FFFFFFE
"""A lower half of a product above this adds one to the upper half."""


def _tables() -> tuple[U64, U64]:
    """e^n in 32.32 for each whole power, and 1 - e^(-j/16) in 0.32 for j = 0..15, both to the nearest."""
    with localcontext() as context:
        context.prec = 40
        unit = Decimal(1 << 32)
        powers = [round(Decimal(n).exp() * unit) for n in range(LEAST_POWER, LARGEST_POWER + 1)]
        sixteenths = [round((1 - (Decimal(-j) / 16).exp()) * unit) for j in range(16)]
    return np.array(powers, dtype=np.uint64), np.array(sixteenths, dtype=np.uint64)


_POWERS, _SIXTEENTHS = _tables()


def wrap(value: NDArray[np.int64]) -> I32:
    """Keep the low 32 bits, as a signed number."""
    return value.astype(np.int64).astype(np.uint32).view(np.int32)


def mulk(a: I32, b: I32) -> I32:
    """s16.15 times s16.15: floor, then wrap."""
    return wrap((a.astype(np.int64) * b.astype(np.int64)) >> FRACTION_BITS)


def decay(x: I32, u: U32) -> I32:
    """s16.15 times u0.32: floor; the result is never larger than x."""
    # In halves, as x u takes 63 bits and a sign: no product exceeds 2^48.
    x64, low, high = x.astype(np.int64), (u & np.uint32(0xFFFF)).astype(np.int64), (u >> np.uint32(16)).astype(np.int64)
    return wrap((x64 * high + ((x64 * low) >> 16)) >> 16)


def divide(dividend: NDArray[np.int64], divisor: NDArray[np.int64]) -> I32:
    """Low 32 bits of the quotient of two 64-bit numbers that are taken as unsigned; the divisor must not be 0."""
    quotient = np.ascontiguousarray(dividend, dtype=np.int64).view(np.uint64) // np.ascontiguousarray(
        divisor, dtype=np.int64
    ).view(np.uint64)
    return quotient.astype(np.uint32).view(np.int32)


def divide_accum(dividend: I32, divisor: I32) -> I32:
    """s16.15 divided by s16.15; toward zero where both are above 0, as they should be."""
    return divide(dividend.astype(np.int64) << FRACTION_BITS, divisor.astype(np.int64))


def _exp(x: NDArray[np.int64]) -> U64:
    """e^x in 32.32, modulo 2^64, for LEAST_ARGUMENT <= x <= LARGEST_ARGUMENT in s16.15."""
    whole, fraction = x >> FRACTION_BITS, x & (ONE - 1)
    power = _POWERS[whole - LEAST_POWER]
    above = _POWERS[np.minimum(whole + 1, LARGEST_POWER) - LEAST_POWER]
    left = ONE - fraction  # of 1 - f, in units of 2^-15
    coarse = _SIXTEENTHS[(left >> 11) & 15]
    z = ((left & 2047) << 17).astype(np.uint64)
    inner = (np.uint64(_Q1) - _high(z * np.uint64(_Q2))) & np.uint64(0xFFFFFFFF)
    quarter = (_high(inner * z) + np.uint64(_Q0)) & np.uint64(0xFFFFFFFF)
    remaining = above - _times_fraction(above, coarse)
    remaining = remaining - _times_fraction(remaining, quarter)
    return np.where(fraction == 0, power, remaining)


def _high(product: U64) -> U64:
    return product >> np.uint64(32)


def _times_fraction(a: U64, u: U64) -> U64:
    """32.32 times u0.32, its lower product rounded."""
    low = (a & np.uint64(0xFFFFFFFF)) * u
    carry = ((low & np.uint64(0xFFFFFFFF)) > np.uint64(_ROUNDS_UP)).astype(np.uint64)
    return _high(a) * u + _high(low) + carry


def _bounded_exp(x: I32, drop: int) -> U32:
    """Bits `drop`..`drop` + 31 of e^x, with what the code returns for arguments out of range."""
    x64 = np.asarray(x, dtype=np.int32).astype(np.int64)
    inside = _exp(np.clip(x64, LEAST_ARGUMENT, LARGEST_ARGUMENT)) >> np.uint64(drop)
    found = np.where(x64 < LEAST_ARGUMENT, np.uint64(0), inside)
    return np.where(x64 > LARGEST_ARGUMENT, np.uint64(0x7FFFFFFF), found).astype(np.uint32)


def expk(x: I32) -> I32:
    """e^x of s16.15 in s16.15, as the chip computes the decay of a membrane."""
    return _bounded_exp(x, 32 - FRACTION_BITS).view(np.int32)


def expulr(x: I32) -> U32:
    """Fraction of e^x of s16.15 in u0.32, as the chip computes the decay of a synapse; 0 for x = 0."""
    return _bounded_exp(x, 0)


def host_rounded(value: float) -> int:
    """A parameter in s16.15 as sPyNNaker's host writes it: its shortest decimal digits, rounded half to even.

    Raises
    ------
    NetworkError
        If the value is outside s16.15.

    Source: spinn_front_end_common 7.4.1, `DataType.encode_as_int`.
    """
    if not -ONE * 2 <= value <= ONE * 2 - 1 / ONE:
        raise NetworkError(
            f"parameter {value}: outside -65536..65535.99997, the range of SpiNNaker's numbers; rescale the network"
        )
    # Through float: the repr of a NumPy scalar is no number.
    return round(Decimal(str(float(value))) * ONE)


@dataclass(frozen=True)
class NeuronConstants:
    """What a population computes with, as the chip sets it up from the parameters; (size,) each, or (N_TYPES, size).

    `resistance`, `exp_tc`, `v_rest`, `i_offset`, `v_reset`, `v_thresh` in s16.15, `t_refract` in ticks, `decay` and
    `init` of either synapse type in u0.32.
    """

    resistance: I32
    exp_tc: I32
    v_rest: I32
    i_offset: I32
    v_reset: I32
    v_thresh: I32
    t_refract: I32
    decay: U32
    init: U32


def initialise(parameters: NeuronParameters, dt_ms: float) -> NeuronConstants:
    """What the chip makes of the parameters when it starts, whatever they are; `check_constants` says what is usable.

        R = tau_m / cm,  exp_tc = expk(-(dt / tau_m)),  t_refract = ceil(tau_refrac / dt) ticks
        decay = expulr(-(dt / tau)),  init = (tau / dt) (0xffffffff - decay)

    with dt in s16.15 as the host writes it, and every quotient cut to s16.15: at a dt of 1 ms and a tau of 20 ms
    dt / tau is 1638 / 32768 where 1638.4 would be right. `init` scales what arrives to its mean over a tick.
    """
    dt = np.full_like(parameters.tau_m, host_rounded(dt_ms))
    decays, inits = [], []
    for tau in (parameters.tau_syn_e, parameters.tau_syn_i):
        kept = expulr(_negated(divide_accum(dt, tau)))
        lost = (np.uint32(0xFFFFFFFF) - kept).astype(np.uint64)
        # The low 47 bits of the product decide, so that it may wrap at 64.
        ticks = divide_accum(tau, dt).astype(np.int64).view(np.uint64)
        decays.append(kept)
        inits.append(((ticks * lost) >> np.uint64(FRACTION_BITS)).astype(np.uint32))
    refractory = divide_accum(parameters.tau_refrac, dt)
    rounds_up = (refractory & np.int32(ONE - 1) != 0).astype(np.int32)
    return NeuronConstants(
        resistance=divide_accum(parameters.tau_m, parameters.cm),
        exp_tc=expk(_negated(divide_accum(dt, parameters.tau_m))),
        v_rest=parameters.v_rest.copy(),
        i_offset=parameters.i_offset.copy(),
        v_reset=parameters.v_reset.copy(),
        v_thresh=parameters.v_thresh.copy(),
        t_refract=(refractory >> np.int32(FRACTION_BITS)) + rounds_up,
        decay=np.array(decays),
        init=np.array(inits),
    )


def _negated(x: I32) -> I32:
    return wrap(-x.astype(np.int64))


def check_constants(name: str, parameters: NeuronParameters, dt_ms: float) -> None:
    """Refuse parameters for which the chip, without a word, would compute with something else than what they say.

    Raises
    ------
    NetworkError
        If a time constant is so long against dt that dt / tau is 0 in s16.15, or so short that it wraps; if tau_m / cm
        wraps; or if dt or tau_refrac is negative.
    """
    dt = host_rounded(dt_ms)
    if dt < 1:
        raise NetworkError(f"network: dt_ms {dt_ms} is below 1/32768 ms, the shortest there is; use longer steps")
    for field in ("tau_m", "tau_syn_e", "tau_syn_i"):
        tau = getattr(parameters, field).astype(np.int64)
        for neuron in np.flatnonzero((tau > dt << FRACTION_BITS) | (tau << 16 <= dt))[:1]:
            raise NetworkError(
                f"population {name}: {field} of neuron {neuron} is {tau[neuron] / ONE} ms, must be from dt/65536 to "
                f"32768 dt at a dt of {dt_ms} ms; choose a time constant closer to dt"
            )
    ratio = parameters.tau_m.astype(np.int64) << FRACTION_BITS
    for neuron in np.flatnonzero(ratio // parameters.cm > np.iinfo(np.int32).max)[:1]:
        raise NetworkError(
            f"population {name}: tau_m / cm of neuron {neuron} exceeds 65535, the largest resistance; raise cm"
        )
    refractory = parameters.tau_refrac.astype(np.int64)
    for neuron in np.flatnonzero((refractory < 0) | ((refractory << FRACTION_BITS) // dt > np.iinfo(np.int32).max))[:1]:
        raise NetworkError(
            f"population {name}: tau_refrac of neuron {neuron} is {refractory[neuron] / ONE} ms, must be from 0 to "
            "below 65536 ticks; choose one within"
        )
