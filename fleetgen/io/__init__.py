"""Storage, file formats and the manifest; no physics."""
