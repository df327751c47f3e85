"""A small trade log and its daily file, offered for download on the import page."""

from pathlib import Path

SAMPLE_FOLDER = Path(__file__).parent / "sample"
SAMPLE_OPENING_CASH = "1000.00"


def sample_files() -> list[tuple[str, bytes]]:
    """Names and contents of the sample files, in alphabetical order."""
    return [(path.name, path.read_bytes()) for path in sorted(SAMPLE_FOLDER.glob("*.csv"))]
