"""HuBERT finetuned on several SUPERB tasks at once."""
