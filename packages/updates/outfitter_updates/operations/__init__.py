"""What a person wants, turned into the arguments of AWS calls: pure, the same for the same input."""
