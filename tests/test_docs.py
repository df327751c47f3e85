"""The documentation says what is true: links lead somewhere, commands exist, nothing is left out."""

import ast
import re
import struct
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command, get_commands

from tradeplatform import metrics

ROOT = Path(__file__).resolve().parent.parent
APPS = ("tradeplatform", "billing", "brokers", "portfolios", "risk", "orders")
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "deploy" / "README.md", *(ROOT / "docs").glob("*.md")]
)
NAME = r"[A-Z][A-Z0-9_]+"
READERS = {"str", "bool", "int", "list", "db", "cache", "email_url", "get", "getenv"}

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def text_outside_code(page: Path) -> str:
    return re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)


def anchors_of(page: Path) -> set[str]:
    """The anchors that a Markdown viewer makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", text_outside_code(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_every_link_inside_the_repository_leads_somewhere(page):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text_outside_code(page)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        found = (page.parent / name).resolve() if name else page
        if not found.exists() or (anchor and anchor not in anchors_of(found)):
            broken.append(target)

    assert broken == []


def test_the_readme_leads_to_every_page():
    readme = (ROOT / "README.md").read_text()
    pages = [page.relative_to(ROOT).as_posix() for page in PAGES if page.name != "README.md"]

    assert [page for page in pages if f"({page}" not in readme] == []


@each_page
def test_every_command_that_is_named_exists(page):
    text = page.read_text()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    made = re.findall(r"(?:`|^\s*|&& |=\d+ )make ([a-z-]+)", text, flags=re.MULTILINE)
    managed = re.findall(r"manage\.py ([a-z_]+)", text)

    assert set(made) - targets == set()
    assert set(managed) - set(get_commands()) == set()


@each_page
def test_every_path_that_is_named_exists(page):
    if page.name == "adapters.md":
        pytest.skip("names the files of an adapter that is yet to be written")
    tops = "|".join((*APPS, "tests", "deploy", "docs", "templates"))
    named = re.findall(rf"`((?:{tops})/[\w./-]*)`", text_outside_code(page))

    assert [path for path in named if not (ROOT / path).exists()] == []


@each_page
def test_pages_name_no_machine_and_promise_nothing(page):
    forbidden = r"/work/|/home/|/root/|/tmp/|pypi\.|npmjs|DESIGN\.md|\bTODO\b|\bTBD\b|coming soon"

    assert re.findall(forbidden, page.read_text(), flags=re.IGNORECASE) == []


def names_read_by(source: Path) -> Iterator[str]:
    """Yield the names of environment variables that a Python file reads.

    Understands `env.int("NAME")`, `os.environ.get("NAME")`, and functions that put a prefix before their
    first argument, such as `env.str(f"ALPACA_{name}")`.
    """
    tree = ast.parse(source.read_text())
    prefixes: dict[str, str] = {}
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        for call in reader_calls(function):
            if isinstance(call.args[0], ast.JoinedStr) and isinstance(call.args[0].values[0], ast.Constant):
                prefixes[function.name] = str(call.args[0].values[0].value)
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args):
        first = call.args[0]
        if not isinstance(first, ast.Constant) or not isinstance(first.value, str):
            continue
        if isinstance(call.func, ast.Name) and call.func.id in prefixes:
            yield prefixes[call.func.id] + first.value
        elif is_reader(call) and re.fullmatch(NAME, first.value):
            yield first.value


def reader_calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call) and is_reader(node) and node.args)


def is_reader(call: ast.Call) -> bool:
    function = call.func
    if not isinstance(function, ast.Attribute) or function.attr not in READERS:
        return False
    return ast.unparse(function.value) in {"env", "environ", "os.environ", "os"}


def environment_names() -> set[str]:
    sources = [file for app in APPS for file in (ROOT / app).rglob("*.py")]
    sources.append(ROOT / "deploy" / "gunicorn.conf.py")
    names = {name for source in sources for name in names_read_by(source)}
    return names | set(re.findall(rf"\$\{{({NAME})", (ROOT / "deploy" / "compose.yaml").read_text()))


def documented_names() -> list[str]:
    text = (ROOT / "docs" / "configuration.md").read_text()
    return re.findall(rf"^\| `({NAME})` \|", text, flags=re.MULTILINE)


def test_the_reader_of_settings_understands_every_way_of_reading():
    names = environment_names()

    assert {"DEMO_MODE", "DATABASE_URL", "EMAIL_URL", "FIELD_ENCRYPTION_KEYS", "CACHE_URL"} <= names
    assert {"ALPACA_CLIENT_ID", "WEB_WORKERS", "POSTGRES_PASSWORD"} <= names


def test_every_environment_variable_is_documented_once_and_nothing_else():
    documented = documented_names()

    assert sorted(documented) == sorted(environment_names())


def test_the_openapi_document_is_current():
    fresh = StringIO()
    call_command("spectacular", stdout=fresh)

    assert (ROOT / "docs" / "openapi.yaml").read_text() == fresh.getvalue(), (
        "Run: manage.py spectacular --file docs/openapi.yaml"
    )


def test_the_api_page_lists_exactly_the_calls_that_exist():
    page = (ROOT / "docs" / "api.md").read_text()
    listed = set(re.findall(r"^\| `([A-Z]+) (/api/v1/[^`]*)`", page, flags=re.MULTILINE))
    existing = set()
    path = ""
    for line in (ROOT / "docs" / "openapi.yaml").read_text().splitlines():
        if found := re.fullmatch(r"  (/api/\S+):", line):
            path = found[1]
        elif found := re.fullmatch(r"    (get|post|patch|put|delete):", line):
            existing.add((found[1].upper(), path))

    assert listed == existing


def test_the_operations_page_lists_every_metric():
    page = (ROOT / "docs" / "operations.md").read_text()
    listed = set(re.findall(r"^\| `([a-z_]+)` \|", page, flags=re.MULTILINE)) - set(get_commands())
    kinds = {"counter": "_total"}
    existing = {one.name + kinds.get(one.type, "") for one in metrics.REGISTRY.collect()}

    assert listed == existing


@pytest.mark.parametrize("path", ["docs/img/dashboard.png", "tradeplatform/static/img/dashboard.png"])
def test_the_picture_has_the_size_that_pages_reserve_for_it(path):
    data = (ROOT / path).read_bytes()
    width, height = struct.unpack(">II", data[16:24])

    assert data.startswith(b"\x89PNG")
    assert (width, height) == (1440, 900)
    assert len(data) < 250_000
