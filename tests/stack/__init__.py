"""Tests of the package that starts Paydesk locally: real processes, killed, and a look for remains."""
