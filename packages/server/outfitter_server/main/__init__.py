"""Composition: the commands of outfitterd, the real clock, and all wiring."""
