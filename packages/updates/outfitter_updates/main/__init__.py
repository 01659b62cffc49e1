"""Joins the command to the cloud, the clock and chance."""
