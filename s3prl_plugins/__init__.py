"""A plugin for s3prl: it runs on today's PyTorch, trains all SUPERB heads jointly, and brings new upstreams."""
