"""The battery, its room, its weather and its sensors: laws as functions of arrays and scalars."""
