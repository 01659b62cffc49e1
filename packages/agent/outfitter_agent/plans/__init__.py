"""Pure: one module an operation; generators that yield effects and receive their results."""
