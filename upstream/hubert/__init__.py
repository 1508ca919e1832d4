"""HuBERT (arXiv 2106.07447) in s3prl's own architecture and checkpoint format."""
