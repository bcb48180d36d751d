"""What follows from measured data alone: columns in, columns out."""
