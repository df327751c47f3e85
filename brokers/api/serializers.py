"""Shapes of accounts in the API's schema."""

from rest_framework import serializers

ACCOUNT_STATUSES = ["active", "needs_relink", "unlinked", "restricted"]


class OrderRuleSerializer(serializers.Serializer):
    order_type = serializers.CharField()
    times_in_force = serializers.ListField(child=serializers.CharField())
    fractional_times_in_force = serializers.ListField(child=serializers.CharField())
    extended_hours_times_in_force = serializers.ListField(child=serializers.CharField())
    order_classes = serializers.ListField(child=serializers.CharField())


class CapabilitiesSerializer(serializers.Serializer):
    order_rules = OrderRuleSerializer(many=True)
    fractional = serializers.BooleanField()
    notional = serializers.BooleanField()
    replace = serializers.BooleanField()
    replace_fields = serializers.ListField(child=serializers.CharField())
    short_selling = serializers.BooleanField()
    stream = serializers.BooleanField()
    margin_regime = serializers.CharField()


class AccountSerializer(serializers.Serializer):
    id = serializers.UUIDField()
    broker = serializers.CharField()
    environment = serializers.ChoiceField(choices=["paper", "live"])
    label = serializers.CharField()  # type: ignore[assignment]
    status = serializers.ChoiceField(choices=ACCOUNT_STATUSES)
    restriction = serializers.CharField(allow_null=True)
    currency = serializers.CharField()
    equity = serializers.CharField(help_text="Decimal as text.")
    cash = serializers.CharField(help_text="Decimal as text.")
    buying_power = serializers.CharField(help_text="Decimal as text.")
    synced_at = serializers.DateTimeField(allow_null=True)
    armed = serializers.BooleanField(help_text="Whether its user armed it for live orders.")
    capabilities = CapabilitiesSerializer()
