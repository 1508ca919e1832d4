"""Which pretext labels suit a downstream task, and with what weights, told without training (arXiv 2104.07388, 2107.00594)."""
