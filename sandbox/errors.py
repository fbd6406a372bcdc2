"""Stripe's error answers: one exception that knows its status, its body, and whether anything ran."""

from typing import Any


class StripeError(Exception):
    """An answer other than 200.

    ``executed`` says that the operation had begun: what it changed is kept (a decline leaves its charge
    behind) and
    the answer is saved under the idempotency key. A refused parameter has executed nothing.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        executed: bool = False,
        keeps: bool | None = None,
        headers: dict[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.code = code
        self.param = param
        self.executed = executed
        #: Whether what the operation changed stays: a decline leaves its charge behind, most refusals nothing.
        self.keeps = status == 402 if keeps is None else keeps
        self.headers = headers or {}
        self.extra = extra

    def body(self, request_id: str, now: float) -> dict[str, Any]:
        """Return the ``{"error": …}`` body; absent fields are left out, as Stripe does."""
        error: dict[str, Any] = {"message": self.message, "type": self.kind}
        if self.code:
            error["code"] = self.code
            error["doc_url"] = f"https://stripe.com/docs/error-codes/{self.code.replace('_', '-')}"
        if self.param:
            error["param"] = self.param
        error["request_log_url"] = f"https://dashboard.stripe.com/test/logs/{request_id}?t={int(now)}"
        error.update({name: value for name, value in self.extra.items() if value is not None})
        return {"error": error}


def invalid(message: str, param: str | None = None, code: str | None = None) -> StripeError:
    """Return a 400 for a request that was refused before anything ran."""
    return StripeError(400, message, param=param, code=code)


def missing(kind: str, object_id: str, param: str = "id", status: int = 404) -> StripeError:
    """Return ``resource_missing``: 404 for the object of the URL, 400 for one named in a parameter."""
    return StripeError(
        status,
        f"No such {kind.rpartition('.')[2].replace('_', '')}: '{object_id}'",
        code="resource_missing",
        param=param,
    )


def unexpected_state(message: str, intent: dict[str, Any]) -> StripeError:
    """Return ``payment_intent_unexpected_state`` with the full intent, which tells the caller why."""
    return StripeError(
        400, message, code="payment_intent_unexpected_state", executed=True, payment_intent=intent
    )


def setup_unexpected_state(message: str, intent: dict[str, Any]) -> StripeError:
    """Return ``setup_intent_unexpected_state`` with the full intent."""
    return StripeError(400, message, code="setup_intent_unexpected_state", executed=True, setup_intent=intent)


def server_error(executed: bool) -> StripeError:
    """Return Stripe's 500: the caller cannot know whether anything happened."""
    return StripeError(
        500,
        "An unknown error occurred with your request. If this problem persists, contact support.",
        kind="api_error",
        executed=executed,
    )
