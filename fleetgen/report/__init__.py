"""What a run was, in words and numbers computed from the data just written."""
