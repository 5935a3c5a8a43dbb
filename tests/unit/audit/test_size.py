from __future__ import annotations

from pathlib import Path

import pytest

from planton_build.artifact import FileSize, PackageShare
from planton_build.audit.size import UNZIPPED_LIMIT, SizeReport, check_size, human
from planton_build.errors import SizeBudgetExceeded, SizeLimitExceeded


def sizes(total: int, layers: int = 0) -> SizeReport:
    packages = [PackageShare(f"package-{n}", "1", 1, 1000 - n, 1) for n in range(7)]
    return SizeReport(total, packages, [FileSize("big.so", 900), FileSize("small.py", 1)], layers)


def test_lambdas_limit_is_the_first_size_that_is_refused() -> None:
    assert UNZIPPED_LIMIT == 262_144_000
    check_size(sizes(UNZIPPED_LIMIT - 1))
    with pytest.raises(SizeLimitExceeded, match=r"unzips to 262,144,000 bytes, .*: 1 bytes too many"):
        check_size(sizes(UNZIPPED_LIMIT))
    with pytest.raises(SizeLimitExceeded, match=": 101 bytes too many"):
        check_size(sizes(UNZIPPED_LIMIT + 100))


def test_layers_count() -> None:
    check_size(sizes(UNZIPPED_LIMIT - 1000, layers=999))
    with pytest.raises(SizeLimitExceeded, match=r"with 1,000 bytes of layers.*: 1 bytes too many"):
        check_size(sizes(UNZIPPED_LIMIT - 1000, layers=1000))


def test_a_budget_is_for_the_code_alone_and_may_be_used_up() -> None:
    check_size(sizes(1000, layers=5000), max_size=1000)
    with pytest.raises(SizeBudgetExceeded, match=r"unzips to 1,001 bytes, over the budget of 1,000"):
        check_size(sizes(1001), max_size=1000)


def test_a_budget_above_the_limit_does_not_lift_it() -> None:
    with pytest.raises(SizeLimitExceeded):
        check_size(sizes(UNZIPPED_LIMIT), max_size=10**12)


def test_the_message_names_the_place_and_who_brought_how_much() -> None:
    with pytest.raises(SizeBudgetExceeded) as caught:
        check_size(sizes(2_000_000), max_size=1, file=Path("orders/lambda.yaml"))
    (finding,) = caught.value.findings
    assert finding.file == Path("orders/lambda.yaml")
    assert "package-0 1.0 kB, package-1 999 B" in finding.message
    assert "package-5" not in finding.message
    assert "big.so 900 B" in finding.message
    assert "max-size in planton.toml" in (finding.hint or "")


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (262_144_000, "262.1 MB"),
        (999_999_999, "1.00 GB"),
        (5_000_000_000_000, "5000.00 GB"),
    ],
)
def test_sizes_for_people(size: int, shown: str) -> None:
    assert human(size) == shown
