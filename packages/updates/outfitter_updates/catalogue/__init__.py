"""Pure: software, versions, device types, compatibility."""
