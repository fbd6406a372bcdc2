"""Django's PostgreSQL backend with a pool that does not ask a connection twice a second whether it lives."""
