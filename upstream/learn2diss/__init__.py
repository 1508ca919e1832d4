"""Learn2Diss (after arXiv 2407.02543): an encoder of frames and an encoder of utterances, disentangled."""
