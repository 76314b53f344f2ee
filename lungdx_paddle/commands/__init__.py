"""Arguments in, one call, words out: what every command does."""
