"""The table for papers: LaTeX that would compile (a strict parser stands in for LaTeX), and what it says."""

import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avshot.bench.latex import _labels, as_latex, best_rows, escaped
from avshot.bench.plan import Entry, Plan
from avshot.bench.table import Result
from avshot.bench.trainings import Block, Line
from avshot.report.rows import Row
from avshot.task import get_task

COMMANDS = {  # of LaTeX itself, and of booktabs
    "begin", "end", "centering", "caption", "label", "textbf", "textsuperscript", "par", "smallskip", "footnotesize",
    "raggedright", "linewidth", "pm", "times", "leq", "geq", "to", "ldots", "textbackslash", "textasciitilde",
    "textasciicircum", "textless", "textgreater", "textbar", "textasciigrave", "symbol", "toprule", "midrule",
    "bottomrule",
}  # fmt: skip
SHOWN = {  # what LaTeX prints for them
    r"\textbackslash{}": "\\", r"\textasciitilde{}": "~", r"\textasciicircum{}": "^", r"\textless{}": "<",
    r"\textgreater{}": ">", r"\textbar{}": "|", r"\symbol{34}": '"', r"\textasciigrave{}": "`", "{[}": "[", "{]}": "]",
    "{*}": "*", r"$\pm$": "±", r"$\times$": "×", "$-$": "−", r"$\leq$": "≤", r"$\geq$": "≥", r"$\to$": "→",
    r"\ldots{}": "…", "-{}": "-", "'{}": "'", **{f"\\{sign}": sign for sign in "&%$#_{}"},
}  # fmt: skip
TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|[{}$&#_^~%]|[^\\{}$&#_^~%]+", re.DOTALL)


def printed(text):
    """What LaTeX would print for escaped text."""
    pattern = "|".join(re.escape(code) for code in sorted(SHOWN, key=len, reverse=True))
    return re.sub(pattern, lambda found: SHOWN[found.group()], text)


class Latex:
    """Reads LaTeX as strictly as LaTeX does, or more so: what it refuses would not compile. Rows by `tabular`."""

    def __init__(self, text):
        self.open, self.math, self.tables = [], False, []
        lines = [line for line in text.split("\n") if not line.startswith("%")]
        self.tokens = TOKEN.findall("\n".join(lines))
        assert "".join(self.tokens) == "\n".join(lines)
        while self.tokens:
            self.step(self.tokens.pop(0))
        assert self.open == []
        assert not self.math

    def argument(self):
        assert self.tokens.pop(0) == "{"
        name = self.tokens.pop(0)
        assert self.tokens.pop(0) == "}"
        return name

    def step(self, token):
        if token == r"\begin":
            self.open.append(self.argument())
            if self.open[-1] == "tabular":
                self.tables.append((len(self.argument()), [0]))
        elif token == r"\end":
            assert self.open.pop() == self.argument()
        elif token == "{":
            self.open.append("{")
        elif token == "}":
            assert self.open.pop() == "{"
        elif token == "$":
            self.math = not self.math
        elif token == "&":
            assert self.open[-1] == "tabular", "& outside of a cell"
            self.tables[-1][1][-1] += 1
        elif token == r"\\":
            assert self.open[-1] == "tabular"
            assert not self.tokens[0].lstrip().startswith(("[", "*")), "an option of the line's end"
            self.tables[-1][1].append(0)
        elif token.startswith("\\"):
            assert token[1:] in COMMANDS or token[1:] in "&%$#_{}", token
        else:
            assert token not in "#_^~%", f"bare {token}"


def read(text):
    """`(columns, cells per row)` of each table."""
    return [(columns, [count + 1 for count in rows[:-1]]) for columns, rows in Latex(text).tables]


def line(label, *, reference=False, note="", **values):
    row = Row("d", label, get_task("gzsl"), {metric: list(found) for metric, found in values.items()})
    return Result(label, row, {}, note=note, reference=reference)


def plan(labels, **more):
    rows = tuple(Entry(label, {"method": "devise"}) for label in labels)
    return Plan("A & B: 50%", rows, metrics=("HM", "ZSL"), seeds=(0, 1, 2), **more)


def block(name="my_data", lines=()):
    return Block(name, name, name, False, tuple(lines))


def latex(lines, **more):
    asked = plan([one.label for one in lines], **more)
    return as_latex(asked, [(block(lines=[Line(row) for row in asked.rows]), lines)], date(2026, 11, 30))


@given(st.text())
def test_any_text_is_printed_as_it_is(text):
    code = escaped(text)
    assert read(code) == []
    assert printed(code) == " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    assert "--" not in code
    assert "''" not in code


NASTY = st.text(st.sampled_from("\\{}[]*&%$#_^~\"'`-|<>±\n a"), min_size=1)


@given(st.lists(NASTY, min_size=1, max_size=4, unique=True), NASTY, NASTY)
def test_any_label_title_and_note_give_a_table_that_compiles(labels, title, note):
    lines = [line(label, note=note, HM=[0.5, 0.6, 0.7]) for label in labels]
    asked = Plan(title, tuple(Entry(label) for label in labels), metrics=("HM", "ZSL"), source=note)
    found = as_latex(asked, [(block(title), lines)], date(2026, 11, 30))
    assert read(found) == [(3, [3] * (1 + len(lines)))]


def test_the_parser_refuses_what_latex_refuses():
    for wrong in (
        "{", "}", r"\begin{a}\end{b}", "a & b", "$x", "a_b", "50#", r"\nothing",
        r"\begin{tabular}{l}a \\[1] b\end{tabular}",
    ):  # fmt: skip
        with pytest.raises((AssertionError, IndexError)):
            Latex(wrong)
    assert read("\\begin{tabular}{lr}\na & b \\\\\nc \\\\\n\\end{tabular}") == [(2, [2, 1])]


def test_every_mean_that_is_printed_as_the_best_is_bold_and_no_reference_is():
    lines = [
        line("one", HM=[0.5004, 0.6001], ZSL=[0.1]), line("two", HM=[0.5502], ZSL=[0.2]), line("three", HM=[0.5496]),
        line("worse", HM=[0.5494], ZSL=[0.2]), line("nothing"), line("simple", reference=True, HM=[0.9], ZSL=[0.2]),
    ]  # fmt: skip
    assert best_rows(lines, "HM") == [0, 1, 2]  # 55.0 ± 7.0, 55.0, 55.0
    assert best_rows(lines, "ZSL") == [1, 3]
    assert best_rows(lines, "U") == []
    text = latex(lines)
    bold = {text for text in re.findall(r"\\textbf\{(.*?)\}", text) if text != "Bold"}
    assert bold == {r"55.0 $\pm$ 7.0", "55.0", "20.0"}
    body = text[text.index("toprule") :]
    assert r"\textbf" not in body[body.index("simple") :].partition("\n")[0]
    assert body.count(r"\midrule") == 2  # below the head, above the references


def test_the_caption_says_all_that_a_reader_needs():
    lines = [line("one", HM=[0.5]), line("two", note="see there", HM=[0.6])]
    text = latex(lines, source="Somebody, Table 1")
    assert text.startswith("% Needs \\usepackage{booktabs}")
    assert r"\label{tab:a-b-50-my-data}" in text
    caption = re.search(r"\\caption\[\{(.*?)\}\]\{(.*)\}\n", text)
    assert caption[1] == r"A \& B: 50\%, my\_data"
    for words in ("Per cent", "seeds 0, 1, 2", "After Somebody, Table 1", "2026-11-30", "ties included"):
        assert words in caption[2]
    assert r"two\textsuperscript{1} &" in text
    assert r"\textsuperscript{1} see there" in text[text.index(r"\end{tabular}") :]
    assert "references" not in caption[2]  # there are none


def test_the_test_is_named_with_its_correction():
    lines = [line("base", HM=[0.5]), Result("other", None, {}, p=0.0004)]
    text = latex(lines, against="base")
    assert r"$p$: two-sided paired permutation test of HM over test clips against base (10,000 exchanges)." in text
    assert r"\textless{}0.001" in text
    assert read(text) == [(4, [4, 4, 4])]
    assert "Holm-corrected for 2 comparisons" in latex([*lines, Result("third", None, {}, p=0.5)], against="base")


def test_no_two_tables_have_one_label_and_strange_letters_are_said():
    assert _labels(["A b", "a-b!", "a b", "日本", ""]) == ["a-b", "a-b-2", "a-b-3", "table", "table-2"]
    assert "lualatex" not in latex([line("é", HM=[0.5])])
    assert "a font that has 日" in latex([line("日", HM=[0.5])])
