"""The feature store: hidden states of frozen encoders, computed once, kept in files, read at memory speed."""
