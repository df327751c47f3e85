"""How the API reads bodies: JSON whose numbers are exact."""

import codecs
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser


class ExactJSONParser(BaseParser):
    """JSON with every fractional number as a Decimal; NaN and Infinity are refused, as JSON has neither."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        try:
            text = codecs.getreader("utf-8")(stream)
            return json.load(text, parse_float=Decimal, parse_constant=_refuse)
        except ValueError as error:
            raise ParseError("The body is not valid JSON.") from error
        except RecursionError as error:
            raise ParseError("The body is nested too deeply.") from error


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
