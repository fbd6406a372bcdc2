"""Starts the real parts of Paydesk on one machine: no containers, no administrator's rights, no fixed port.

`servers` gives PostgreSQL and Redis, `processes` the whole running system, `demo` shows it to a person.
Nothing here is used in production, and nothing in production imports it.
"""
