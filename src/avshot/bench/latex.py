"""The table of a bench for papers: LaTeX that needs the package booktabs alone, with all that a reader must know."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date

from avshot.bench.data_in_words import about_data
from avshot.bench.plan import Plan
from avshot.bench.significance import DRAWS
from avshot.bench.table import Result, absences, numbered, sources, table
from avshot.bench.trainings import Block
from avshot.report.rows import detailed, explained

_LEFT_OUT = ("seconds", "parameters", "selected on", "seeds")  # columns; the caption and the notes say the last two
# One pass, so that no sign that an escape brings in is escaped again.
_SIGNS = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\symbol{34}", "`": r"\textasciigrave{}",
    "[": "{[}", "]": "{]}", "*": "{*}",  # behind a line's end they would be its options
    "±": r"$\pm$", "\N{MULTIPLICATION SIGN}": r"$\times$", "\N{MINUS SIGN}": "$-$",
    "≤": r"$\leq$", "≥": r"$\geq$", "→": r"$\to$", "…": r"\ldots{}", "†": r"$\dagger$",
}  # fmt: skip
_PLAIN_LATEX = 0x24F  # the last letter that LaTeX sets without further packages
_HEADER = "% Needs \\usepackage{booktabs} in the preamble."


def as_latex(plan: Plan, found: Sequence[tuple[Block, Sequence[Result]]], made: date) -> str:
    """A `booktabs` table for each dataset, each with a caption that stands alone, a label and its notes below.

    The best mean of each of our columns is bold, with all that are equal to it as printed; references, which stand
    behind a rule of their own, never are.

    Args:
        plan: What was asked.
        found: Each block with its lines.
        made: Date for the caption.
    """
    labels = _labels([f"{plan.title} {block.name}" for block, _ in found])
    tables = [_table(plan, block, lines, label, made) for (block, lines), label in zip(found, labels, strict=True)]
    text = "\n".join(tables)
    strange = sorted({sign for sign in text if ord(sign) > _PLAIN_LATEX})
    header = [_HEADER]
    if strange:
        header.append(f"% Set it with lualatex or xelatex and a font that has {' '.join(strange)}")
    return "\n".join([*header, text])


def escaped(text: str) -> str:
    """Text as LaTeX shows it: no sign is a command, on one line."""
    one_line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    # Two hyphens would be a dash, two apostrophes a quotation mark.
    return re.sub("-(?=-)|'(?=')", r"\g<0>{}", "".join(_SIGNS.get(sign, sign) for sign in one_line))


def _table(plan: Plan, block: Block, lines: Sequence[Result], label: str, made: date) -> str:
    head, cells = table(plan, lines)
    keep = [i for i, name in enumerate(head) if name not in _LEFT_OUT]
    short = f"{plan.title}, {block.name}"
    text = [r"\begin{table}", r"\centering"]
    text += [rf"\caption[{{{escaped(short)}}}]{{{_caption(plan, block, lines, made)}}}", rf"\label{{tab:{label}}}"]
    text += [rf"\begin{{tabular}}{{l{'r' * (len(keep) - 1)}}}", r"\toprule"]
    text += [_row([escaped(head[i]) for i in keep]), r"\midrule", *_body(plan, lines, cells, keep)]
    return "\n".join([*text, r"\bottomrule", r"\end{tabular}", *_notes(plan, block, lines), r"\end{table}"]) + "\n"


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _body(plan: Plan, lines: Sequence[Result], cells: Sequence[Sequence[str]], keep: Sequence[int]) -> Iterator[str]:
    marks = numbered(lines)
    bold = {(n, i) for i, metric in enumerate(plan.metrics, 1) for n in best_rows(lines, metric)}
    for n, (line, row) in enumerate(zip(lines, cells, strict=True)):
        if n and line.reference and not lines[n - 1].reference:
            yield r"\midrule"
        mark = rf"\textsuperscript{{{marks[line.label][0]}}}" if line.label in marks else ""
        shown = [escaped(line.title) + mark, *(escaped(row[i]) for i in keep[1:])]
        yield _row([rf"\textbf{{{text}}}" if (n, i) in bold else text for text, i in zip(shown, keep, strict=True)])


def best_rows(lines: Sequence[Result], metric: str) -> list[int]:
    """Places of the rows with the best mean as it is printed, references apart; none where no row has a value."""
    shown = {
        n: float(line.cell(metric).partition(" ")[0])
        for n, line in enumerate(lines)
        if line.values.get(metric) and not line.reference
    }
    return [n for n, value in shown.items() if value == max(shown.values())]


def _caption(plan: Plan, block: Block, lines: Sequence[Result], made: date) -> str:
    """Title, data, what the numbers are, what chose them, which test, which date."""
    title = plan.title.rstrip(".")
    parts = [escaped(f"{title}. {about_data(block)} {_units(plan)}")]
    chosen = _chosen(lines)
    if len(chosen) == 1:
        parts.append(escaped(f"Epoch and calibration were chosen on {chosen[0]}."))
    apart = ", references (below the rule) apart" if any(line.reference for line in lines) else ""
    parts.append(rf"\textbf{{Bold}}: best of its column, ties included{apart}.")
    count = sum(line.p is not None for line in lines)
    if count:
        test = f": two-sided paired permutation test of HM over test clips against {plan.against} ({DRAWS:,} exchanges)"
        parts.append(f"$p${escaped(test)}{f', Holm-corrected for {count} comparisons' if count > 1 else ''}.")
    if plan.source:
        parts.append(escaped(f"After {plan.source.rstrip('.')}."))
    return " ".join([*parts, escaped(f"{made.isoformat()}.")])


def _units(plan: Plan) -> str:
    seeds = ", ".join(map(str, plan.seeds))
    if len(plan.seeds) == 1:
        return f"Per cent, one training with seed {seeds}."
    return f"Per cent, mean ± sample standard deviation over seeds {seeds}."


def _chosen(lines: Sequence[Result]) -> list[str]:
    return list(dict.fromkeys(line.selected_on for line in lines if line.runs))


def _notes(plan: Plan, block: Block, lines: Sequence[Result]) -> list[str]:
    """What is said below the table; nothing where there is nothing to say."""
    told = [rf"\textsuperscript{{{number}}} {escaped(text)}" for number, text in numbered(lines).values()]
    rows = [line.row for line in lines if line.row is not None]
    told += [escaped(text) for text in (*explained(rows), *detailed(rows))]
    most = max((len(line.runs) for line in lines), default=0)
    for line in lines:
        if line.runs and len(line.runs) < most:
            seeds = ", ".join(str(run.experiment.seed) for run in line.runs)
            told.append(escaped(f"{line.label}: seeds {seeds} alone."))
        if line.runs and len(_chosen(lines)) > 1:
            told.append(escaped(f"{line.label}: epoch and calibration chosen on {line.selected_on}."))
    told += [escaped(text) for text in (*absences(plan, block), *sources(block, lines))]
    if not told:
        return []
    ended = [text + r"\par" for text in told]
    return [r"\par\smallskip", r"\begin{minipage}{\linewidth}\footnotesize\raggedright", *ended, r"\end{minipage}"]


def _labels(texts: Sequence[str]) -> list[str]:
    """A name to refer to each text by: letters, digits and hyphens, no two the same."""
    found: list[str] = []
    for text in texts:
        plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60].strip("-") or "table"
        same = sum(name == plain or re.fullmatch(rf"{plain}-\d+", name) is not None for name in found)
        found.append(f"{plain}-{same + 1}" if same else plain)
    return found
