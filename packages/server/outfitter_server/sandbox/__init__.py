"""Functions in processes of their own, under AWS's runtime client: the Sandbox port on this machine."""
