"""What there is to install and what to install it on: pure values, and the problems that all rooms speak of."""
