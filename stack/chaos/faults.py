"""What Stripe does wrong, and how often: to the calls of our workers, and on the way of its events."""

from __future__ import annotations

from typing import Any

CALLS = r"^/v1/(payment_intents|refunds|charges|terminal/readers)"
HTTP_FAULTS: tuple[tuple[str, float, dict[str, Any]], ...] = (
    ("latency", 0.05, {"ms": 400}),
    ("reset_before", 0.02, {}),
    ("reset_after", 0.03, {}),
    ("error_500_before", 0.02, {}),
    ("error_500_after", 0.03, {}),
    ("rate_limit_429", 0.02, {}),
    ("lock_timeout_429", 0.02, {}),
    ("truncated_body", 0.01, {}),
    ("garbage_200", 0.01, {}),
    ("webhook_before_answer", 0.05, {}),
    ("timeout_after", 0.002, {}),
    ("timeout_before", 0.002, {}),
)
WEBHOOK_FAULTS: tuple[tuple[str, float, dict[str, Any]], ...] = (
    ("webhook_drop", 0.05, {}),
    ("webhook_delay", 0.10, {"ms": 3000}),
    ("webhook_reorder", 0.10, {"ms": 1500}),
    ("webhook_double", 0.10, {}),
    ("webhook_bad_signature", 0.05, {}),
)
