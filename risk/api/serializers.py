"""Shapes of halts in the API's schema."""

from rest_framework import serializers

from risk.enums import HaltKind, HaltScope


class HaltSerializer(serializers.Serializer):
    id = serializers.UUIDField(allow_null=True, help_text="None while only the emergency file holds it.")
    scope = serializers.ChoiceField(choices=HaltScope.choices)
    scope_key = serializers.CharField(help_text="Account id or user id; empty for the platform.")
    kind = serializers.ChoiceField(choices=HaltKind.choices)
    reason = serializers.CharField()
    started_by = serializers.CharField()
    started_at = serializers.DateTimeField()
    cancel_open = serializers.BooleanField()
    cancels_requested_at = serializers.DateTimeField(allow_null=True)
    in_flight = serializers.IntegerField(
        allow_null=True, help_text="Orders on their way to a broker at that moment; None: being measured."
    )
    last_send_at = serializers.DateTimeField(
        allow_null=True, help_text="When the last order that the halt covers began to leave."
    )
    last_byte_at = serializers.DateTimeField(
        allow_null=True,
        help_text="When the broker had answered the last of them or its time-out was over: "
        "no byte left later.",
    )
    late_sends = serializers.IntegerField()
    lifted_at = serializers.DateTimeField(allow_null=True)
    lifted_by = serializers.CharField(allow_null=True)


class HaltRequestSerializer(serializers.Serializer):
    scope = serializers.ChoiceField(choices=[("user", "All your accounts"), ("account", "One account")])
    account = serializers.UUIDField(required=False, help_text="For the scope account.")
    reason = serializers.CharField(max_length=200)
    cancel_open = serializers.BooleanField(default=False)


class ResumeSerializer(serializers.Serializer):
    reason = serializers.CharField(max_length=200)
