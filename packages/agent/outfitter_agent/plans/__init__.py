"""Pure: what an update does, step by step, as generators that yield effects and receive their results."""
