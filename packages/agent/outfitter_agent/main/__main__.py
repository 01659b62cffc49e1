"""``python -m outfitter_agent.main``: how the agent starts itself anew."""

import sys

from outfitter_agent.main.command import main

if __name__ == "__main__":
    sys.exit(main())
