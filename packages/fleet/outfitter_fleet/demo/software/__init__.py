"""What the demonstration installs: the program of a street lamp and its health command, packed into images as they are."""
