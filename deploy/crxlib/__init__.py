"""What the programs of deploy/ that are written in Python have in common."""
