"""Tables for terminals, logs and Markdown."""

import io

import pytest
import rich.console

from avshot.terminal.tables import is_numeric, markdown, print_table


def test_numbers_stand_right_words_left_and_nothing_is_cut_in_a_log(capsys):
    rows = [["a [red]method[/]", "81.2 ± 0.9", "x" * 200], ["chance", "-", "short"]]
    print_table("a title [bold]as it is[/]" + "y" * 150, ["method", "HM", "note"], rows)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].rstrip() == "a title [bold]as it is[/]" + "y" * 150
    assert any("a [red]method[/]" in line and "x" * 200 in line for line in lines)
    first, second = (next(line for line in lines if word in line) for word in ("81.2", "chance"))
    assert first.index("81.2 ± 0.9") + len("81.2 ± 0.9") == second.index("-") + 1  # right-aligned
    assert first.index("x") == second.index("short")  # left-aligned


def test_on_a_narrow_terminal_numbers_stay_whole_and_words_wrap(monkeypatch):
    file = io.StringIO()
    console = rich.console.Console(file=file, width=40, force_terminal=True, color_system=None)
    monkeypatch.setattr(rich.console, "Console", lambda **_: console)
    label = "a-very-long-label-of-a-row-that-does-not-fit"
    print_table("t", ["method", "HM"], [[label, "81.2 ± 0.9"]])
    text = file.getvalue()
    assert "81.2 ± 0.9" in text
    assert "…" not in text
    assert label in "".join(line.split("  ")[0].strip() for line in text.splitlines() if "─" not in line)


def test_an_empty_table_is_its_head(capsys):
    print_table("nothing", ["a", "b"], [])
    assert "a" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("cells", "numeric"),
    [
        (["1", "2.5 ± 0.1", "-"], True),
        (["0.2/0.4", "12 s", "93.1 %"], True),
        (["-0.5", "+1", ""], True),
        (["ez_avgzl"], False),
        (["3 of 4"], False),
        ([], True),
    ],
)
def test_what_counts_as_a_number(cells, numeric):
    assert is_numeric(cells) is numeric


def test_markdown_lines_up_and_keeps_odd_cells_inside():
    text = markdown(["method", "HM", "note"], [["a|b", "81.2", "<script>"], ["line\nbreak", "-", "val"]])
    lines = text.splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1] == "|------------|-----:|-------------|"
    assert "a\\|b" in lines[2]
    assert "&lt;script>" in lines[2]
    assert lines[3].startswith("| line break |    - |")
