"""The sandbox against the real SDK: what the product relies on, it must do exactly as Stripe does."""
