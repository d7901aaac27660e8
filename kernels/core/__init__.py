"""What operations are made of: compilation, threads, vectors, argument checks, recorded calls, the cache."""
