"""Tokenizer and network: load, build, fine-tune; splitting a network at a layer."""
