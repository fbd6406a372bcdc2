"""What both sides of a measurement know: those that run inside the product, and those that look at it."""

PASSWORD = "bench-bench-bench"  # noqa: S105 - of businesses that live as long as the measurement
