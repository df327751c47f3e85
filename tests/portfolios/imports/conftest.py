from collections.abc import Callable
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parent / "samples"


@pytest.fixture(scope="session")
def sample() -> Callable[[str], tuple[str, bytes]]:
    """A sample file by name, as name and content."""
    return lambda name: (name, (SAMPLES / name).read_bytes())
