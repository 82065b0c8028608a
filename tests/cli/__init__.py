"""The command line, as its user meets it: arguments, output, exit codes."""
