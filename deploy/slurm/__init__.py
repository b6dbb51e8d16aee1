"""crx-slurm: see README.md."""
