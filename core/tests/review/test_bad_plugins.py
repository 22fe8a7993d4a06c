"""Plugins that are wrong in one way each; the first lines of each file say what has to be found."""

import re
from pathlib import Path

import pytest

from gateway.review import find_subjects, measure_imports, review

BAD = sorted((Path(__file__).parent / "bad").glob("*.py"))
EXPECTED = re.compile(
    r"Finding: (?P<code>[a-z-]+)(?: at line (?P<line>\d+))?(?:: (?P<text>.*?))?(?:\"\"\")?$", re.MULTILINE
)


@pytest.fixture(scope="module")
def reviews():
    """Everything at once: most of the time goes into starting the process that measures imports."""
    subjects = [subject for path in BAD for subject in find_subjects(str(path))]
    costs = measure_imports(subjects)
    return {subject.plugin.name: review(subject, cost) for subject, cost in zip(subjects, costs, strict=True)}


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_bad_plugin_is_caught_by_the_finding_that_it_names(path, reviews):
    reviewed = reviews[path.stem]
    expected = list(EXPECTED.finditer(path.read_text().partition("\n\n")[0]))

    assert expected
    for each in expected:
        found = [
            finding
            for finding in reviewed.findings
            if finding.code == each["code"]
            and (each["line"] is None or (finding.file, finding.line) == (path, int(each["line"])))
            and (each["text"] or "") in f"{finding.problem}; {finding.remedy}"
        ]
        assert found, reviewed.findings
        assert all(finding.remedy for finding in found)
    assert {finding.code for finding in reviewed.findings} == {each["code"] for each in expected}


def test_every_kind_of_finding_about_code_has_a_bad_plugin():
    codes = {each["code"] for path in BAD for each in EXPECTED.finditer(path.read_text().partition("\n\n")[0])}

    assert codes >= {
        *("hook", "load", "registration", "build", "config-model", "undocumented-field", "secret", "unsafe-default"),
        *("blocking", "blocked-loop", "synchronous", "growth", "grew", "failed", "slow-import", "heavy-import"),
    }
