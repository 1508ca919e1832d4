"""One file per corpus: what it holds, and the index files of its published layout."""
