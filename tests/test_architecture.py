"""Rules about the code itself: layers, who may send orders, what is loaded at start, exact numbers."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).resolve().parent.parent
APPS = ("tradeplatform", "billing", "brokers", "portfolios", "risk", "orders")
LONGEST_FILE = 420

# Files in which a float is right: waits, ages, statistics and the market that the simulator makes up.
FLOATS_ALLOWED = (
    "brokers/simulators/",
    "portfolios/performance.py",
    "brokers/adapters/alpaca/failures.py",
)
MONEY_MODULES = (
    "orders/",
    "risk/",
    "portfolios/",
    "brokers/matching.py",
    "brokers/matching_terms.py",
    "brokers/types.py",
    "brokers/adapters/",
)


def source_files() -> Iterator[Path]:
    for app in APPS:
        for file in sorted((ROOT / app).rglob("*.py")):
            if "migrations" not in file.parts:
                yield file


def relative(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(), filename=str(file))


def test_import_contracts_hold(monkeypatch):
    monkeypatch.chdir(ROOT)

    assert lint_imports(config_filename="pyproject.toml", cache_dir=None) == 0


def test_every_module_of_the_project_package_is_in_a_layer():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(one for one in contracts if one["id"] == "layers")["layers"]
    listed = {name.strip(" ()") for layer in layers for name in layer.split(":")}
    package = ROOT / "tradeplatform"
    existing = {f"tradeplatform.{file.stem}" for file in package.glob("*.py") if file.stem != "__init__"}
    existing |= {f"tradeplatform.{folder.parent.name}" for folder in package.glob("*/__init__.py")}

    assert existing - listed - {"tradeplatform.migrations"} == set()


def test_only_the_three_sending_services_open_a_trader():
    allowed = {f"orders/services/{name}.py" for name in ("submit", "cancel", "replace")}
    users = {
        relative(file)
        for file in source_files()
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.Attribute) and node.attr == "get_trader"
    }

    assert users - allowed == set()


def test_pandas_and_the_sdks_of_others_are_not_loaded_with_the_site():
    code = (
        "import os, sys, django\n"
        "os.environ['DJANGO_SETTINGS_MODULE'] = 'tradeplatform.settings'\n"
        "django.setup()\n"
        "from django.urls import get_resolver\n"
        "get_resolver().url_patterns\n"
        "heavy = {'pandas', 'numpy', 'alpaca', 'schwab', 'exchange_calendars', 'stripe'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.stdout.strip() == "[]", done.stderr


def float_uses(tree: ast.Module) -> Iterator[int]:
    """Yield the lines where a module makes a float that could reach a price, quantity or amount."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            constants = [one.value for one in node.args if isinstance(one, ast.Constant)]
            from_float = node.func.id == "Decimal" and any(isinstance(one, float) for one in constants)
            if node.func.id == "float" or from_float:
                yield node.lineno


def test_money_is_never_a_float():
    found = [
        f"{relative(file)}:{line}"
        for file in source_files()
        if relative(file).startswith(MONEY_MODULES) and not relative(file).startswith(FLOATS_ALLOWED)
        for line in float_uses(tree_of(file))
    ]

    assert found == []


def test_no_broker_is_named_in_a_condition_outside_its_own_folder():
    keys = {"alpaca", "paper", "schwab"}
    found = []
    for file in source_files():
        if relative(file).startswith(("brokers/adapters/", "brokers/simulators/")):
            continue
        for node in ast.walk(tree_of(file)):
            if not isinstance(node, ast.Compare):
                continue
            sides = [node.left, *node.comparators]
            names = {getattr(side, "attr", getattr(side, "id", "")) for side in sides}
            values = {side.value for side in sides if isinstance(side, ast.Constant)}
            if "broker" in names and values & keys:
                found.append(f"{relative(file)}:{node.lineno}")

    assert found == []


def test_files_stay_short():
    long = {relative(file): count for file in source_files() if (count := _lines(file)) > LONGEST_FILE}

    assert long == {}


@pytest.mark.parametrize("name", ["utils.py", "helpers.py", "misc.py"])
def test_there_is_no_drawer_for_everything(name):
    assert [relative(file) for file in source_files() if file.name == name] == []


def _lines(file: Path) -> int:
    with file.open() as text:
        return sum(1 for _ in text)
