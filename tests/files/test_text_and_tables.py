"""Text and tables as people's programs save them, against bytes built by hand."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avshot.files.text import read_lines, read_table, read_text


def written(tmp_path, data):
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_mark_and_line_end_reads_alike(tmp_path, encoding, end):
    path = written(tmp_path, end.join(["Küche", "警笛", ""]).encode(encoding))
    assert read_text(path) == "Küche\n警笛\n"
    assert read_lines(path) == [(1, "Küche"), (2, "警笛")]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"a\nk\xfcche\n", "line 2"),
        ("a\nb".encode("utf-16-le"), "line 1"),
        (b"a\n\0\0", "line 2"),
        (b"\xff\xfe\n", "UTF-8"),
    ],
)
def test_what_is_no_text_is_said_with_its_line(tmp_path, data, says):
    with pytest.raises(ValueError, match=says) as error:
        read_text(written(tmp_path, data))
    assert "t.csv" in str(error.value)
    assert "UTF-8" in str(error.value)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_spreadsheets_separate_by_commas_semicolons_or_tabs(tmp_path, separator):
    text = f'filename{separator}label{separator}\n"a b"{separator}"x{separator}y"{separator}\n{separator * 2}\n'
    table = read_table(written(tmp_path, text.encode()), needed=("filename", "label"))
    assert table.columns == ("filename", "label")
    assert [dict(row.cells) for row in table.rows] == [{"filename": "a b", "label": f"x{separator}y"}]
    marked = written(tmp_path, f"sep={separator}\n{text}".encode())
    assert [dict(row.cells) for row in read_table(marked).rows] == [dict(row.cells) for row in table.rows]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("id,label\na\n", "line 2 has nothing in column 'label'"),
        ('id,label\na,b\n"c,d\n', "line 3 is no row"),
        ("id,label\na,b,c\n", "line 2 has 3 cells"),
        ("id,id\na,b\n", "two columns 'id'"),
        ("a,b\n1,2\n", "no column id, label"),
        ("id,label\na," + "x" * 200_000 + "\n", "line 2"),
    ],
)
def test_a_table_that_is_wrong_is_said_with_its_line(tmp_path, text, says):
    with pytest.raises(ValueError, match=says):
        read_table(written(tmp_path, text.encode()), needed=("id", "label"))


@pytest.mark.parametrize("cell", ["0,5", "nan", "inf", "-1", "1_0", "1 s", "1e999"])
def test_seconds_are_numbers_from_0(tmp_path, cell):
    (row,) = read_table(written(tmp_path, f'id,start,end\na,"{cell}",\n'.encode())).rows
    with pytest.raises(ValueError, match=r"line 2: start is .* expected seconds"):
        row.seconds("start")
    assert row.seconds("end") is None
    assert row.seconds("group") is None


cells = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=8)


@given(st.lists(st.lists(cells, min_size=3, max_size=3), max_size=6))
def test_what_the_csv_module_writes_is_read_back(tmp_path_factory, rows):
    out = io.StringIO()
    csv.writer(out).writerows([["a", "b", "c"], *rows])
    path = tmp_path_factory.mktemp("t") / "t.csv"
    path.write_text(out.getvalue(), encoding="utf-8", newline="")
    kept = [[cell.strip() for cell in row] for row in rows if any(cell.strip() for cell in row)]
    assert [list(row.cells.values()) for row in read_table(path).rows] == kept
