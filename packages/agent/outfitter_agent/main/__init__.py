"""Settings, the loop that joins plans to hands, and the command."""
