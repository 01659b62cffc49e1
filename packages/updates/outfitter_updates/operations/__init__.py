"""Pure: an intention in, CreateJob arguments out."""
