"""The command ``outfitter``: reads arguments, calls the cloud room through its ports, prints."""
