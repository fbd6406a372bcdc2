"""The ledger's tables, one module each."""

from web.payments.models.api import ApiRequest, ApiToken
from web.payments.models.attempt import Attempt, Operation
from web.payments.models.audit import AuditEntry
from web.payments.models.balance import BalanceCursor, BalanceEntry, Payout
from web.payments.models.card import Card, CardSetup
from web.payments.models.cart import LARGEST_QUANTITY, Cart, CartLine
from web.payments.models.close_out import CloseOut, CloseOutLine
from web.payments.models.dispute import Dispute
from web.payments.models.inbox import InboxEvent
from web.payments.models.job import Job
from web.payments.models.ledger import EntryKind, Ledger, LedgerBalance, LedgerEntry, LedgerLot
from web.payments.models.mail import ReceiptResend, RefundReceipt
from web.payments.models.operating import OperatorAction, QueueMinute, QueuePause, StripeMinute, WorkerDrain
from web.payments.models.order import Order, OrderLine, Receipt
from web.payments.models.outgoing import OutgoingDelivery, OutgoingEndpoint, OutgoingEvent
from web.payments.models.payment import HeldReason, Method, Payment, PaymentEvent
from web.payments.models.profile_data import ProfilePaymentData
from web.payments.models.reader import ConnectionToken, Reader, ReaderAction, StripeLocation
from web.payments.models.refund import BulkRefund, BulkRefundOrder, Refund, RefundLine
from web.payments.models.settings import PaymentSettings, StripeAccount, WebhookSecret
from web.payments.models.watch import Drift, DriftCursor, EventCursor, WorkerPulse

__all__ = [
    "LARGEST_QUANTITY",
    "ApiRequest",
    "ApiToken",
    "Attempt",
    "AuditEntry",
    "BalanceCursor",
    "BalanceEntry",
    "BulkRefund",
    "BulkRefundOrder",
    "Card",
    "CardSetup",
    "Cart",
    "CartLine",
    "CloseOut",
    "CloseOutLine",
    "ConnectionToken",
    "Dispute",
    "Drift",
    "DriftCursor",
    "EntryKind",
    "EventCursor",
    "HeldReason",
    "InboxEvent",
    "Job",
    "Ledger",
    "LedgerBalance",
    "LedgerEntry",
    "LedgerLot",
    "Method",
    "Operation",
    "OperatorAction",
    "Order",
    "OrderLine",
    "OutgoingDelivery",
    "OutgoingEndpoint",
    "OutgoingEvent",
    "Payment",
    "PaymentEvent",
    "PaymentSettings",
    "Payout",
    "ProfilePaymentData",
    "QueueMinute",
    "QueuePause",
    "Reader",
    "ReaderAction",
    "Receipt",
    "ReceiptResend",
    "Refund",
    "RefundLine",
    "RefundReceipt",
    "StripeAccount",
    "StripeLocation",
    "StripeMinute",
    "WebhookSecret",
    "WorkerDrain",
    "WorkerPulse",
]
