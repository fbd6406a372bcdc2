"""The only caller of Stripe: a module per kind of object, on `stripe_api`, which says what every outcome means."""
