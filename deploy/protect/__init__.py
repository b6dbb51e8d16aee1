"""crx-protect: see README.md."""
