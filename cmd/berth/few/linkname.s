// A function without a body is allowed in a package that has a file like this one.
