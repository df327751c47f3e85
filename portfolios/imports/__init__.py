"""Import of the trading tracker's CSV family: read, replay, check, preview.

Pure; storing is a service's work.
"""

from portfolios.imports.preview import build_preview
from portfolios.imports.reading import read_import
from portfolios.imports.samples import sample_files

__all__ = ["build_preview", "read_import", "sample_files"]
