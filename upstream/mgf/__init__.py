"""MGF (after arXiv 2102.01930): convolutions and a transformer that learn at four time scales."""
