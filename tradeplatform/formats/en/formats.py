"""How dates and times are written where nothing else is said, as in the admin: short, and with the zone."""

DATE_FORMAT = "j M Y"
DATETIME_FORMAT = "j M Y, H:i T"
