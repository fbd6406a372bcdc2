"""Tests of the package that starts Paydesk locally: they start real processes, kill them, and look for remains."""
