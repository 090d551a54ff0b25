"""The Stats API, in the words and shapes of Plausible's."""
