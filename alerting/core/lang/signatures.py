"""Every function and aggregation that conditions may call: what it takes, what it gives, what becomes of the unit.

The one table. The checker reads it, the compiler's implementations are tested against it, and functions that
PromQL has but this language has not stand in REFUSED with the reason. Facts from Prometheus 3's documentation.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

Type: TypeAlias = Literal["scalar", "vector", "range", "string"]

KEEPS = "keeps"  # the result has the unit of its input
PER_SECOND = "per second"  # … of its input, per second
BUCKET = "bucket"  # … of the `le` bounds of its input
SECONDS = "s"
NO_UNIT = ""


class Signature(NamedTuple):
    """One function. `optional` of the last arguments may be left out; -1: the last may be repeated, or left out."""

    args: tuple[Type, ...]
    gives: Type = "vector"
    optional: int = 0
    unit: str = NO_UNIT  # KEEPS, PER_SECOND, BUCKET, SECONDS or NO_UNIT
    texts: bool = False  # takes series whose values are texts

    @property
    def least(self) -> int:
        """The fewest arguments."""
        return len(self.args) - abs(self.optional)

    @property
    def most(self) -> int | None:
        """The most arguments; None: any number."""
        return None if self.optional < 0 else len(self.args)


def _each(names: str, signature: Signature) -> dict[str, Signature]:
    return dict.fromkeys(names.split(), signature)


FUNCTIONS: dict[str, Signature] = {
    # one sample in, one out
    **_each("exp ln log2 log10 sqrt sgn deg rad", Signature(("vector",))),
    **_each("acos acosh asin asinh atan atanh cos cosh sin sinh tan tanh", Signature(("vector",))),
    **_each("abs ceil floor", Signature(("vector",), unit=KEEPS)),
    **_each("sort sort_desc", Signature(("vector",), unit=KEEPS)),
    **_each("clamp_min clamp_max", Signature(("vector", "scalar"), unit=KEEPS)),
    "clamp": Signature(("vector", "scalar", "scalar"), unit=KEEPS),
    "round": Signature(("vector", "scalar"), optional=1, unit=KEEPS),
    "timestamp": Signature(("vector",), unit=SECONDS, texts=True),
    "absent": Signature(("vector",), texts=True),
    "label_replace": Signature(("vector", "string", "string", "string", "string"), unit=KEEPS, texts=True),
    "label_join": Signature(("vector", "string", "string", "string"), optional=-1, unit=KEEPS, texts=True),
    "histogram_quantile": Signature(("scalar", "vector"), unit=BUCKET),
    "histogram_fraction": Signature(("scalar", "scalar", "vector"), unit="ratio"),
    **_each(
        "days_in_month day_of_month day_of_week day_of_year hour minute month year", Signature(("vector",), optional=1)
    ),
    # a stretch of time in, one sample out
    **_each("rate irate deriv", Signature(("range",), unit=PER_SECOND)),
    **_each("increase delta idelta", Signature(("range",), unit=KEEPS)),
    **_each("avg_over_time min_over_time max_over_time sum_over_time", Signature(("range",), unit=KEEPS)),
    **_each("stddev_over_time", Signature(("range",), unit=KEEPS)),
    **_each("stdvar_over_time resets", Signature(("range",))),
    **_each("count_over_time present_over_time absent_over_time changes", Signature(("range",), texts=True)),
    "last_over_time": Signature(("range",), unit=KEEPS, texts=True),
    "quantile_over_time": Signature(("scalar", "range"), unit=KEEPS),
    "predict_linear": Signature(("range", "scalar"), unit=KEEPS),
    # between scalars and vectors
    "scalar": Signature(("vector",), "scalar", unit=KEEPS),
    "vector": Signature(("scalar",), unit=KEEPS),
    "time": Signature((), "scalar", unit=SECONDS),
    "pi": Signature((), "scalar"),
}

OWN: dict[str, Signature] = {
    # what `check` makes of `N per D`; nobody writes it, see tree.Call
    "peak": Signature(("range", "scalar")),
    "gained": Signature(("range",), unit=KEEPS),
}

COUNTER_FUNCTIONS = frozenset({"rate", "irate", "increase", "resets"})  # make no sense of a level
GAUGE_FUNCTIONS = frozenset({"delta", "idelta", "deriv", "predict_linear"})  # make no sense of a counter


class Aggregation(NamedTuple):
    """One aggregation operator; `param` is the type of what stands before the expression, if anything does."""

    param: Type | None = None
    unit: str = NO_UNIT
    texts: bool = False


AGGREGATIONS: dict[str, Aggregation] = {
    "sum": Aggregation(unit=KEEPS),
    "avg": Aggregation(unit=KEEPS),
    "min": Aggregation(unit=KEEPS),
    "max": Aggregation(unit=KEEPS),
    "stddev": Aggregation(unit=KEEPS),
    "stdvar": Aggregation(),
    "count": Aggregation(texts=True),
    "group": Aggregation(texts=True),
    "topk": Aggregation("scalar", KEEPS),
    "bottomk": Aggregation("scalar", KEEPS),
    "quantile": Aggregation("scalar", KEEPS),
    "count_values": Aggregation("string", texts=True),
}

_NATIVE_HISTOGRAM = "it works on native histograms, which are not read here; classic ones have histogram_quantile"
_EXPERIMENTAL = "Prometheus calls it experimental and has it switched off"


def _refused(names: str, why: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), why)


REFUSED: dict[str, str] = {
    **_refused("histogram_avg histogram_count histogram_sum", _NATIVE_HISTOGRAM),
    **_refused("histogram_stddev histogram_stdvar", _NATIVE_HISTOGRAM),
    **_refused("histogram_quantiles double_exponential_smoothing first_over_time info integral", _EXPERIMENTAL),
    **_refused("mad_over_time range start end step sort_by_label sort_by_label_desc", _EXPERIMENTAL),
    **_refused("ts_of_first_over_time ts_of_last_over_time ts_of_max_over_time", _EXPERIMENTAL),
    **_refused("ts_of_min_over_time limitk limit_ratio", _EXPERIMENTAL),
    "holt_winters": "Prometheus 3 renamed it to double_exponential_smoothing and calls that experimental",
}
