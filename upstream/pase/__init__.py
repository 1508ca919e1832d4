"""PASE (arXiv 1904.03416) and PASE+ (arXiv 2001.09239): a waveform encoder trained by many self-supervised workers."""
