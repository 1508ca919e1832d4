"""Joint finetuning of one encoder with all SUPERB heads."""
