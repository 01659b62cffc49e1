"""Settings, the loop that joins plans to hands, the command."""
