"""A local Stripe: the HTTP API, its webhooks, its script for pages and its faults, as one process.

It exists so that Paydesk can be developed, tested and broken on purpose without an account, a network or a
real
card. It imports nothing of the product, and the product cannot tell it from Stripe.
"""

API_VERSION = "2026-10-28.endive"
