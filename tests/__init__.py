"""The tests; a package, so that two folders may hold files of the same name."""
