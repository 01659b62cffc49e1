"""The Outfitter server: device gateway, file store and job service behind the public AWS wire formats."""
