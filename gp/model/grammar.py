"""A grammar of kernels over one input, for time series: which structures there are, and which follow from one.

A structure is a sum of terms.  A term is a base kernel, a product of base kernels, or a change point between two of
these.  From a structure others follow: with a term or a factor more or less, with another base kernel in the place of
one, with a change point in a term  (Duvenaud et al. 2013, sec. 3; Lloyd et al. 2014, sec. 2), within a window, outside
of which it is nothing.  Products of sums are
sums of products from the start, so that every term is a component.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..parameters.hyperparameters import Hyperparameter, PositiveHyperparameter
from ..spec import kind_of
from .kernels.changepoint import Changepoint
from .kernels.composite import Product, Sum
from .kernels.features import Constant, Linear, Polynomial
from .kernels.periodic import Periodic
from .kernels.stationary import Matern, RationalQuadratic, Rbf

Term = Any  # a spec: a base kernel, a Product of some, or a Changepoint between two of these
Terms = tuple[Term, ...]

SMOOTH: Terms = (Matern(nu=0.5), Matern(nu=1.5), Matern(nu=2.5), Rbf(), RationalQuadratic())
KINDS = tuple({type(each) for each in SMOOTH})
SLOPE = Polynomial(power=1)  # a factor that is a line: unlike `linear` its zero is learnt
STEP = Changepoint(before=Constant(), after=Constant())
MOST_FACTORS = 3


@dataclass(frozen=True)
class Grammar:
    """The structures of a time series whose cycles last `longest` at most, of which one may be the known `season`."""

    longest: float
    season: float | None = None
    windows: bool = False

    def simplest(self) -> list[Terms]:
        """Return the structures of one term."""
        return [(Constant(),), *((term,) for term in self._added() if term is not STEP)]

    def following(self, terms: Terms) -> list[Terms]:
        """Return the structures that follow from one, each once."""
        found: dict[str, Terms] = {}
        for structure in self._following(terms):
            found.setdefault(said(structure), structure)
        return list(found.values())

    def _following(self, terms: Terms) -> Iterator[Terms]:
        for k, term in enumerate(terms):
            others = (*terms[:k], *terms[k + 1 :])
            if others:
                yield others
            for changed in self._changed(term):
                yield (*terms[:k], changed, *terms[k + 1 :])
        if not any(isinstance(term, Constant) for term in terms):
            for added in self._added():
                if not (isinstance(added, Linear) and any(isinstance(term, Linear) for term in terms)):
                    yield (*terms, added)

    def _added(self) -> Iterator[Term]:
        """Yield what may be added to a sum."""
        yield Linear()
        yield from SMOOTH
        for cycle in self._cycles():
            yield cycle
            yield _product([Rbf(), cycle])
        yield STEP
        if self.windows:
            yield window(Rbf())
            yield from map(window, self._cycles())

    def _cycles(self) -> Iterator[Periodic]:
        yield Periodic(period_length=PositiveHyperparameter(upper=self.longest))
        if self.season is not None:
            yield Periodic(period_length=PositiveHyperparameter(fixed=[self.season]))

    def _changed(self, term: Term) -> Iterator[Term]:
        """Yield what may take a term's place."""
        if isinstance(term, Constant):
            return
        if isinstance(term, Changepoint):
            yield from self._changed_sides(term)
            return
        factors, amplitude = _factors(term), _amplitude(term)
        for k in range(len(factors)) if len(factors) > 1 else ():
            yield _product([*factors[:k], *factors[k + 1 :]], amplitude)
        for replaced in _replaced(factors):
            yield _product(replaced, amplitude)
        if len(factors) < MOST_FACTORS:
            kinds = {type(factor) for factor in factors}
            if Polynomial not in kinds:
                yield _product([*factors, SLOPE])
            if Periodic not in kinds:
                for cycle in self._cycles():
                    yield _product([*factors, cycle], amplitude)
            if not kinds & set(KINDS):
                yield _product([*factors, Rbf()], amplitude)
        side = SLOPE if isinstance(term, Linear) else term  # not through the middle of x on either side
        yield Changepoint(before=side, after=side)
        if self.windows:
            yield window(side)

    def _changed_sides(self, term: Changepoint) -> Iterator[Term]:
        """Yield what may take the place of a change point: with one side only, that may become anything."""
        sides = {name: side for name in ("before", "after") if (side := getattr(term, name)) is not None}
        for name, side in sides.items():
            if len(sides) == 2:
                for factors in _replaced(_factors(side)):
                    yield term.model_copy(update={name: _product(factors, _amplitude(side))})
                if self.windows and not isinstance(side, Constant):
                    yield term.model_copy(update={name: None})
                continue
            yield side
            is_plain = not isinstance(side, Changepoint)
            for changed in self._changed(side):
                if not (isinstance(changed, Changepoint) and (is_plain or within(changed))):
                    yield term.model_copy(update={name: changed})
            if is_plain:  # a window, with the end or the start where it is
                inner = Changepoint(before=side)
                yield Changepoint(after=term) if name == "before" else term.model_copy(update={"after": inner})


def window(term: Term) -> Changepoint:
    """Return a term that is nothing before one learnt place and nothing after another one."""
    return Changepoint(after=Changepoint(before=term))


def within(term: Any) -> Term | None:
    """Return what there is in a window; None where a term is no window."""
    is_one = isinstance(term, Changepoint) and term.before is None and isinstance(term.after, Changepoint)
    return term.after.before if is_one else None


def said(terms: Terms) -> str:
    """Return a structure in short: "linear + periodic × rbf", the same in whatever order its parts are."""
    return " + ".join(sorted(map(_said, terms)))


def outline(terms: Terms) -> str:
    """Return a structure in short, whatever the kinds of its smooth kernels."""
    return " + ".join(sorted(_said(term, smooth="smooth") for term in terms))


def extra_choices(terms: Terms) -> float:
    """Return how many choices a structure makes besides its hyperparameters.

    Each Matérn kernel's ν is one of three.  A series is expected to have a line, which is half a choice, and not to
    change its size in proportion to a line, which is two more.  A constant is none: the mean is one already.
    """
    constants = sum(isinstance(term, Constant) for term in terms)
    lines = sum(isinstance(term, Linear) for term in terms)
    slopes = sum(isinstance(factor, Polynomial) for term in terms for factor in getattr(term, "factors", {}).values())
    return said(terms).count("matern") - constants - 0.5 * lines + 2 * slopes


def kernel_of(terms: Terms) -> Sum:
    """Return the sum of the terms, each named by the part that it has in a time series."""
    return Sum(terms=_named(terms, _part))


def each_hyperparameter(kernel: Any, change: Callable[[str, Any], Any], path: str) -> Any:
    """Return a kernel (or other spec) with `change(name, written)` in the place of what is written of each."""
    changed: dict[str, Any] = {}
    for key, field in type(kernel).model_fields.items():
        part, name = getattr(kernel, key), f"{path}.{key}"
        if key in ("terms", "factors"):
            changed[key] = {inner: each_hyperparameter(each, change, f"{path}.{inner}") for inner, each in part.items()}
        elif key in ("before", "after"):
            changed[key] = part and each_hyperparameter(part, change, name)
        elif isinstance(part, Hyperparameter) or "Hyperparameter" in str(field.annotation):
            changed[key] = change(name, part)
    return kernel.model_copy(update=changed)


def _replaced(factors: Sequence[Term]) -> Iterator[list[Term]]:
    """Yield the factors with another smooth kernel in the place of one, at its lengthscale."""
    for k, factor in enumerate(factors):
        for other in SMOOTH if isinstance(factor, KINDS) else ():
            if _said(other) != _said(factor):
                kept = other.model_copy(update={"lengthscale": factor.lengthscale})
                yield [*factors[:k], kept, *factors[k + 1 :]]


def _factors(term: Term) -> list[Term]:
    """Return the factors of a term, without amplitudes."""
    if isinstance(term, Product):
        return list(term.factors.values())
    if isinstance(term, Linear):
        return [SLOPE]
    return [term if isinstance(term, Constant | Changepoint) else term.model_copy(update={"outputscale": None})]


def _amplitude(term: Term) -> Any:
    """Return what is written of a term's amplitude, if that is the variance of a term of other factors too."""
    return None if any(isinstance(factor, Polynomial | Constant) for factor in _factors(term)) else term.outputscale


def _product(factors: Sequence[Term], amplitude: Any = None) -> Term:
    """Return the product of the factors, or the only one."""
    if len(factors) > 1:
        named = _named(factors, lambda factor: kind_of(type(factor)))
        return Product(factors=named, outputscale=amplitude)
    (factor,) = factors
    return Linear() if isinstance(factor, Polynomial) else factor.model_copy(update={"outputscale": amplitude})


def _named(parts: Sequence[Term], name_of: Callable[[Term], str]) -> dict[str, Term]:
    named: dict[str, Term] = {}
    for part in parts:
        name, count = name_of(part), 1
        while (numbered := f"{name}-{count}" if count > 1 else name) in named:
            count += 1
        named[numbered] = part
    return named


def _part(term: Term) -> str:
    cycles = [factor for factor in _factors(term) if isinstance(factor, Periodic)]
    if cycles:
        return "season" if any(_is_season(cycle) for cycle in cycles) else "cycle"
    match term:
        case Linear():
            return "trend"
        case Changepoint():
            return "window" if within(term) else "change"
        case Constant():
            return "constant"
    return "level"


def _is_season(cycle: Periodic) -> bool:
    return cycle.period_length is not None and cycle.period_length.fixed is not None


def _said(part: Term, smooth: str = "") -> str:
    match part:
        case Product():
            return " × ".join(sorted(_said(factor, smooth) for factor in part.factors.values()))
        case Changepoint() if (inside := within(part)) is not None:
            return f"[{_said(inside, smooth)}]"
        case Changepoint():
            sides = (_said(side, smooth) if side else "" for side in (part.before, part.after))
            return f"({' | '.join(sides)})"
        case Matern() | Rbf() | RationalQuadratic() if smooth:
            return smooth
        case Matern():
            return f"matern-{round(2 * part.nu)}/2"
        case Periodic() if _is_season(part):
            return "season"
        case Polynomial():
            return "linear"
    return kind_of(type(part))
