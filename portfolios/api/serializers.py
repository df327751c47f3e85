"""Shapes of positions and performance in the API's schema."""

from rest_framework import serializers


class PositionSerializer(serializers.Serializer):
    symbol = serializers.CharField()
    quantity = serializers.CharField(help_text="Signed shares; short is negative.")
    avg_price = serializers.CharField()
    cost = serializers.CharField()
    last = serializers.CharField(allow_null=True)
    priced_at = serializers.DateTimeField(allow_null=True)
    market_value = serializers.CharField(allow_null=True)
    unrealised_pnl = serializers.CharField(allow_null=True)
    day_pnl = serializers.CharField(allow_null=True)
    share = serializers.CharField(allow_null=True, help_text="Fraction of equity; 0.2 is 20 %.")
    realised_pnl = serializers.CharField()


class BookSerializer(serializers.Serializer):
    currency = serializers.CharField()
    cash = serializers.CharField()
    market_value = serializers.CharField(allow_null=True)
    equity = serializers.CharField(allow_null=True)
    unrealised_pnl = serializers.CharField(allow_null=True)
    realised_pnl = serializers.CharField()
    day_pnl = serializers.CharField(allow_null=True)
    positions = PositionSerializer(many=True)


class FigureSerializer(serializers.Serializer):
    key = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    value = serializers.CharField(allow_null=True)
    reason = serializers.CharField(help_text="Why there is no value; empty when there is one.")


class PerformanceSerializer(serializers.Serializer):
    currency = serializers.CharField()
    benchmark = serializers.CharField()
    start = serializers.DateField(allow_null=True)
    end = serializers.DateField(allow_null=True)
    start_equity = serializers.CharField(allow_null=True)
    end_equity = serializers.CharField(allow_null=True)
    net_flow = serializers.CharField()
    figures = FigureSerializer(many=True)
    equity_curve = serializers.DictField()


class BreakSerializer(serializers.Serializer):
    id = serializers.IntegerField()
    account = serializers.UUIDField(allow_null=True)
    portfolio = serializers.UUIDField()
    kind = serializers.CharField()
    drift = serializers.CharField(help_text="What most likely happened; empty when nothing says so.")
    cause = serializers.CharField()
    symbol = serializers.CharField()
    order = serializers.UUIDField(allow_null=True)
    ours = serializers.CharField()
    theirs = serializers.CharField()
    status = serializers.CharField()
    owner = serializers.CharField()
    explanation = serializers.CharField()
    resolution = serializers.CharField()
    times_seen = serializers.IntegerField()
    first_seen_at = serializers.DateTimeField()
    last_seen_at = serializers.DateTimeField()
    resolved_at = serializers.DateTimeField(allow_null=True)


class ResolveBreakSerializer(serializers.Serializer):
    choice = serializers.ChoiceField(
        choices=[
            ("explain", "Attach an explanation; it stays open"),
            ("close", "Close it; the book stays as it is"),
            ("adopt", "Correct the book to the broker's value"),
        ]
    )
    text = serializers.CharField(max_length=240, help_text="Stays with the difference as its record.")
