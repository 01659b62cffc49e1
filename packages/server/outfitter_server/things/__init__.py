"""Pure rules of the registry: things, types, groups, packages."""
