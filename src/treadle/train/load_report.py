"""`LoadReport`: what became of each tensor of a file and of a model when one was loaded into the other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from treadle.core.spec import Spec
from treadle.train._words import count, nearest


@dataclass(frozen=True)
class LoadReport:
    """What `td.load(path, into=model)` did, name by name. Prints as a table.

    Attributes:
        matched: the model's name → the file's name, of what was loaded.
        missing: in the model, wanted, and not in the file: name → shape and dtype.
        unexpected: in the file and not in the model: name (after `rename`) → shape and dtype.
        mismatched: in both with another shape or dtype: name → (the model's, the file's).
        skipped: the model's names that `only` or `skip` left out.
        unused: patterns of `rename` that fitted no name.
    """

    path: str
    matched: dict[str, str] = field(default_factory=dict)
    missing: dict[str, Spec] = field(default_factory=dict)
    unexpected: dict[str, Spec] = field(default_factory=dict)
    mismatched: dict[str, tuple[Spec, Spec]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    specs: dict[str, Spec] = field(default_factory=dict, repr=False)

    @property
    def complete(self) -> bool:
        """Whether every tensor that was wanted came, and nothing was left over."""
        return not (self.missing or self.unexpected or self.mismatched or self.unused)

    def rows(self) -> list[tuple[str, str, str, str]]:
        """(model's name, its spec, what happened, file's name or spec), in the model's order."""
        out = [(name, str(self.specs[name]), "loaded", source) for name, source in self.matched.items()]
        out += [
            (n, str(a), "shape differs" if a.shape != b.shape else "dtype differs", str(b))
            for n, (a, b) in self.mismatched.items()
        ]
        out += [(n, str(s), "not in the file", _like(n, s, self.unexpected)) for n, s in self.missing.items()]
        out += [(n, str(s), "not in the model", "") for n, s in self.unexpected.items()]
        return out + [(n, str(self.specs[n]), "left out", "") for n in self.skipped]

    def __str__(self) -> str:
        rows = self.rows()
        widths = [max(map(len, column), default=0) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        found = [
            f"{len(self.matched)} loaded",
            *(
                f"{len(part)} {what}"
                for part, what in (
                    (self.mismatched, "with another shape or dtype"),
                    (self.missing, "not in the file"),
                    (self.unexpected, "not in the model"),
                    (self.skipped, "left out"),
                )
                if part
            ),
        ]
        return "\n".join([f"{self.path}: {', '.join(found)}", *(f"  {line}" for line in lines)])

    __repr__ = __str__

    def complaint(self, what: str, limit: int = 12) -> str:
        """What is wrong, for an error: each name with its shape and the nearest candidate, and the fixes."""
        parts = [f"{self.path} does not fit {what}; nothing was loaded."]
        parts += _section(
            f"{count(len(self.missing), 'tensor')} of the model not in the file",
            (f"{n} {s}{_candidate(n, s, self.unexpected)}" for n, s in self.missing.items()),
            limit,
        )
        parts += _section(
            f"{count(len(self.mismatched), 'tensor')} with another shape or dtype",
            (f"{n}: the model has {a}, the file has {b}" for n, (a, b) in self.mismatched.items()),
            limit,
        )
        parts += _section(
            f"{count(len(self.unexpected), 'tensor')} of the file not in the model",
            (f"{n} {s}" for n, s in self.unexpected.items()),
            limit,
        )
        parts += _section("Patterns of rename= that fit no name in the file", map(repr, self.unused), limit)
        return "\n".join([*parts, "  " + self._fix()])

    def _fix(self) -> str:
        for n, s in self.missing.items():
            close = _nearest(n, s, self.unexpected)
            if close:
                old, new = _shorten(close, n)
                return (
                    f'If these are the same weights under other names: td.load(…, rename={{"{old}": "{new}"}}). '
                    "To load only what fits: strict=False."
                )
        if any(a.shape == b.shape for a, b in self.mismatched.values()):
            return (
                'To convert floating-point numbers to the model\'s dtypes: dtype="model". '
                "To load only what fits: strict=False."
            )
        return "To load only what fits, and get a report of the rest: td.load(…, strict=False)."


def _section(title: str, lines: Iterable[str], limit: int) -> list[str]:
    lines = list(lines)
    if not lines:
        return []
    more = [f"    … and {len(lines) - limit} more"] if len(lines) > limit else []
    return [f"  {title}:", *(f"    {line}" for line in lines[:limit]), *more]


def _nearest(name: str, spec: Spec, others: dict[str, Spec]) -> str | None:
    """The most similar name among those with the same shape; else the most similar one."""
    same = [n for n, s in others.items() if s.shape == spec.shape]
    found = nearest(name, same)
    if found:
        return found[0]
    last = name.rpartition(".")[2]
    alike = [n for n in same if n.rpartition(".")[2] == last]
    return alike[0] if len(alike) == 1 else None


def _like(name: str, spec: Spec, others: dict[str, Spec]) -> str:
    found = _nearest(name, spec, others)
    return f"like {found}?" if found else ""


def _candidate(name: str, spec: Spec, others: dict[str, Spec]) -> str:
    found = _nearest(name, spec, others)
    return f"   nearest in the file: {found} {others[found]}" if found else ""


def _shorten(old: str, new: str) -> tuple[str, str]:
    """Drop the common end of two names: `a.kernel`, `b.kernel` → `a`, `b`."""
    olds, news = old.split("."), new.split(".")
    while len(olds) > 1 and len(news) > 1 and olds[-1] == news[-1]:
        olds.pop()
        news.pop()
    return ".".join(olds), ".".join(news)
