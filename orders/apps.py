from django.apps import AppConfig


class OrdersConfig(AppConfig):
    name = "orders"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from orders.usage import count_orders
        from risk.usage import register_order_counts

        register_order_counts(count_orders)
