"""Shapes of orders in the API's schema. Reading and checking is done by `orders.drafts` and the gate."""

from rest_framework import serializers

from brokers.enums import OrderClass, OrderType, Side, TimeInForce
from orders.enums import ApprovalStatus, OrderStatus

DECIMAL = 'Decimal as text, such as "12.50".'


class TakeProfitSerializer(serializers.Serializer):
    limit_price = serializers.CharField(help_text=DECIMAL)


class StopLossSerializer(serializers.Serializer):
    stop_price = serializers.CharField(help_text=DECIMAL)
    limit_price = serializers.CharField(required=False, allow_null=True, help_text=DECIMAL)


class OrderRequestSerializer(serializers.Serializer):
    account = serializers.UUIDField()
    symbol = serializers.CharField(max_length=20)
    side = serializers.ChoiceField(choices=Side.choices)
    order_type = serializers.ChoiceField(choices=OrderType.choices)
    quantity = serializers.CharField(required=False, help_text=f"Shares. {DECIMAL}")
    notional = serializers.CharField(required=False, help_text=f"Amount instead of shares. {DECIMAL}")
    limit_price = serializers.CharField(required=False, help_text=DECIMAL)
    stop_price = serializers.CharField(required=False, help_text=DECIMAL)
    trail_amount = serializers.CharField(required=False, help_text=DECIMAL)
    trail_percent = serializers.CharField(required=False, help_text=f"5 is 5 %. {DECIMAL}")
    time_in_force = serializers.ChoiceField(choices=TimeInForce.choices, default="day")
    extended_hours = serializers.BooleanField(default=False)
    order_class = serializers.ChoiceField(choices=OrderClass.choices, required=False)
    take_profit = TakeProfitSerializer(required=False)
    stop_loss = StopLossSerializer(required=False)
    note = serializers.CharField(required=False, max_length=200)
    confirm = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="Codes of soft findings that you accept."
    )


class OrderChangesSerializer(serializers.Serializer):
    quantity = serializers.CharField(required=False, help_text=f"New total quantity. {DECIMAL}")
    limit_price = serializers.CharField(required=False, help_text=DECIMAL)
    stop_price = serializers.CharField(required=False, help_text=DECIMAL)
    trail = serializers.CharField(required=False, help_text=DECIMAL)
    time_in_force = serializers.ChoiceField(choices=TimeInForce.choices, required=False)
    confirm = serializers.ListField(child=serializers.CharField(), required=False)


class ApprovalAnswerSerializer(serializers.Serializer):
    order_hash = serializers.CharField(help_text="The order's order_hash: what exactly you answer to.")
    approval = serializers.UUIDField(
        required=False, help_text="Id of the request you looked at; guards against one asked anew meanwhile."
    )
    confirm = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="Codes of soft findings that you accept."
    )


class RejectionSerializer(serializers.Serializer):
    order_hash = serializers.CharField(help_text="The order's order_hash: what exactly you answer to.")
    reason = serializers.CharField(required=False)


class ApprovalSerializer(serializers.Serializer):
    id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=ApprovalStatus.choices)
    requested_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    reference_price = serializers.CharField(
        allow_null=True, help_text="The price when approval was asked for."
    )
    decided_at = serializers.DateTimeField(allow_null=True)


class OrderSerializer(serializers.Serializer):
    id = serializers.UUIDField()
    client_order_id = serializers.CharField()
    broker_order_id = serializers.CharField(allow_null=True)
    account = serializers.UUIDField()
    symbol = serializers.CharField()
    side = serializers.ChoiceField(choices=Side.choices)
    order_type = serializers.ChoiceField(choices=OrderType.choices)
    quantity = serializers.CharField(allow_null=True)
    notional = serializers.CharField(allow_null=True)
    limit_price = serializers.CharField(allow_null=True)
    stop_price = serializers.CharField(allow_null=True)
    trail_amount = serializers.CharField(allow_null=True)
    trail_percent = serializers.CharField(allow_null=True)
    time_in_force = serializers.ChoiceField(choices=TimeInForce.choices)
    extended_hours = serializers.BooleanField()
    order_class = serializers.ChoiceField(choices=OrderClass.choices)
    take_profit = TakeProfitSerializer(allow_null=True)
    stop_loss = StopLossSerializer(allow_null=True)
    parent = serializers.UUIDField(allow_null=True)  # type: ignore[assignment]
    leg_role = serializers.CharField(allow_null=True)
    origin = serializers.CharField()
    status = serializers.ChoiceField(choices=OrderStatus.choices)
    cum_qty = serializers.CharField()
    leaves_qty = serializers.CharField(allow_null=True)
    avg_px = serializers.CharField(allow_null=True)
    reject_code = serializers.CharField(allow_null=True)
    reject_reason = serializers.CharField(allow_null=True)
    decision = serializers.UUIDField(allow_null=True)
    order_hash = serializers.CharField(allow_null=True)
    approval = ApprovalSerializer(allow_null=True)
    note = serializers.CharField()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    submitted_at = serializers.DateTimeField(allow_null=True)
    accepted_at = serializers.DateTimeField(allow_null=True)
    closed_at = serializers.DateTimeField(allow_null=True)


class ExecutionSerializer(serializers.Serializer):
    exec_id = serializers.CharField()
    last_qty = serializers.CharField()
    last_px = serializers.CharField()
    commission = serializers.CharField()
    transact_time = serializers.DateTimeField()
    busted_at = serializers.DateTimeField(allow_null=True)
    corrected_at = serializers.DateTimeField(allow_null=True)


class OrderDetailSerializer(OrderSerializer):
    executions = ExecutionSerializer(many=True)
    legs = OrderSerializer(many=True)


class TimelineEntrySerializer(serializers.Serializer):
    at = serializers.DateTimeField()
    kind = serializers.CharField()
    title = serializers.CharField()
    from_status = serializers.CharField()
    to_status = serializers.CharField()
    actor = serializers.CharField()
    elapsed_ms = serializers.IntegerField(help_text="Since the entry before.")
    data = serializers.DictField()  # type: ignore[assignment]


class FindingSerializer(serializers.Serializer):
    code = serializers.CharField()
    name = serializers.CharField()
    severity = serializers.ChoiceField(choices=["soft", "approval", "hard"])
    message = serializers.CharField()
    value = serializers.CharField()
    limit = serializers.CharField()
    field = serializers.CharField()
    confirmed = serializers.BooleanField()


class ImpactSerializer(serializers.Serializer):
    key = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    unit = serializers.CharField()
    before = serializers.CharField(allow_null=True)
    after = serializers.CharField(allow_null=True)
    limit = serializers.CharField(allow_null=True)
    soft_limit = serializers.CharField(allow_null=True)


class PreviewSerializer(serializers.Serializer):
    verdict = serializers.ChoiceField(choices=["allow", "require_confirmation", "require_approval", "deny"])
    findings = FindingSerializer(many=True)
    impact = ImpactSerializer(many=True)
    checks = serializers.ListField(child=serializers.DictField())
    estimated_price = serializers.CharField(allow_null=True)
    estimated_amount = serializers.CharField(allow_null=True)


class ProblemSerializer(serializers.Serializer):
    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField()
    detail = serializers.CharField()
    findings = FindingSerializer(many=True, required=False)
    fields = serializers.DictField(required=False)  # type: ignore[assignment]
