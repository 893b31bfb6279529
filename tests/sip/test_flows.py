"""The flows of RFC 3665, 3666, 5359 and 5589, as far as a B2BUA meets them: what is in flows/README.md is run."""
import re

import pytest

from flow import FLOWS, Flow

ROW = re.compile(r"^\| (?P<rfc>[^|]*?) \| (?P<flow>[^|]*?) \| (?:\[(?P<text>[^]|]*)\]\((?P<file>[^)|]*)\))? *\| (?P<result>[^|]*?) \|$")


def rows():
    """The table of README.md."""
    lines = [line for line in (FLOWS / "README.md").read_text().splitlines() if line.startswith("| ")]
    found = [ROW.match(line) for line in lines]
    bad = [line for line, m in zip(lines, found) if not m and not line.startswith("| RFC")]
    assert not bad, bad
    return [m for m in found if m and m["rfc"] != "RFC"]


FILES = list(dict.fromkeys(row["file"] for row in rows() if row["file"]))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.removesuffix(".xml"))
def test_flow(office, file):
    Flow(FLOWS / file).run(office)


def test_table_has_each_flow_and_its_result():
    for row in rows():
        assert row["text"] == row["file"], row[0]
        if row["file"]:
            assert row["result"] == "passes", row[0]
        else:
            assert re.match(r"(not yet|not ours): .{10,}", row["result"]), row[0]
    assert sorted(FILES) == sorted(path.name for path in FLOWS.glob("*.xml"))
