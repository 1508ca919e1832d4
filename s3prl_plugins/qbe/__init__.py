"""Query by example: SUPERB's tenth task, which needs no training."""
