from django.apps import AppConfig


class TradeplatformConfig(AppConfig):
    name = "tradeplatform"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from tradeplatform import checks, receivers  # noqa: F401
