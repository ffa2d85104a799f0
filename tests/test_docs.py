"""What the pages say is what the code does."""

import re
import runpy
from pathlib import Path

import pytest

from tasty_pipeline.checks import build_checks
from tasty_pipeline.core import errors, schema
from tasty_pipeline.core.settings import VARIABLES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")})


def test_the_page_of_the_tables_is_what_the_description_says() -> None:
    written = runpy.run_path(str(ROOT / "docs/tables.py"))["page"]()
    assert (ROOT / "docs/tables.md").read_text(encoding="utf-8") == written


def test_the_readme_names_every_table_and_every_variable() -> None:
    assert {name for name in schema.METADATA.tables if f"`{name.removeprefix('tasty.')}`" not in README} == set()
    assert {name for name in VARIABLES if f"`{name}`" not in README} == set()


def test_the_page_for_operators_explains_every_check_and_every_kind_of_error() -> None:
    checks = {spec.name for check in build_checks() for spec in check.check_specs}
    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
    # the base classes, what is retried by itself, and what is a fault of this package
    unexplained = {"TastyError", "WarehouseError", "NotFoundError", "StaleReadError", "AuditError", "SyncFailedError"}
    assert {name for name in checks | kinds - unexplained if f"`{name}`" not in OPERATIONS} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_or_picture_in_a_page_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    local = [target for target in targets if not target.startswith(("http:", "https:"))]
    assert [target for target in local if not (page.parent / target).exists()] == []
