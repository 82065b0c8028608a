"""What type checkers make of code as users write it."""
