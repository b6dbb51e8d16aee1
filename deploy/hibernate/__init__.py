"""crx-hibernate: see README.md."""
