"""crx-rebalance: spreads programs over hosts by crx-migrate. README.md says what each module is for."""
